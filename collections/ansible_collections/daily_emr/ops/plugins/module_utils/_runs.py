# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where run folders are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context


def runs_dir(params: Mapping[str, Any], context: Context) -> Path:
    """Where run folders are made: the option, else the environment variable, else .runs in the project."""
    return Path(params["runs_dir"] or os.environ.get("DAILY_EMR_RUNS") or context.project / ".runs").absolute()
