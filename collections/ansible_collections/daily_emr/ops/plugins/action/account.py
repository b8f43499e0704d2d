# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from ansible_collections.daily_emr.ops.plugins.plugin_utils.direct import ActionModule
from ansible_collections.daily_emr.ops.plugins.plugin_utils.guarded import preload

__all__ = ["ActionModule"]

# This is the first task where an environment is built: what the tasks after it need is loaded once, for all of them.
preload()
