# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: all controls that AWS can be asked about. May change without notice.

"""All checks, in the order of the report."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_account as account,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_audit as audit,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_backups as backups,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_cache as cache,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_capacity as capacity,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_database as database,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_edge as edge,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_messaging as messaging,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_network as network,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_observability as observability,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_protection as protection,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_registry as registry,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_rehearsals as rehearsals,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_runbooks as runbooks,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_secrets as secrets,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_service as service,
)
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _readiness_state as state,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Check

AREAS = (
    account.AREA,
    state.AREA,
    network.AREA,
    database.AREA,
    cache.AREA,
    service.AREA,
    registry.AREA,
    secrets.AREA,
    audit.AREA,
    observability.AREA,
    edge.AREA,
    backups.AREA,
    rehearsals.AREA,
    protection.AREA,
    messaging.AREA,
    capacity.AREA,
    runbooks.AREA,
)
CHECKS: tuple[Check, ...] = tuple(check for area in AREAS for check in area.checks)


def declared_calls() -> list[str]:
    """Every call that a check may make, once: what a role for readiness has to be allowed."""
    return sorted({call for check in CHECKS for call in check.calls})
