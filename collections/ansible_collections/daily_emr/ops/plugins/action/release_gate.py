# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from ansible_collections.daily_emr.ops.plugins.plugin_utils.direct import ActionModule

__all__ = ["ActionModule"]
