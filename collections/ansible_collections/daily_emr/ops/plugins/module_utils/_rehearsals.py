# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: where rehearsals left their evidence. May change without notice.

"""Where the evidence of rehearsals lies: `rehearsals/<scenario>/<time>.json` in the bucket of the dumps."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients


def newest(clients: Clients, bucket: str, scenario: str) -> str:
    """The key of the newest evidence of a scenario, as its name has it; empty when there is none. Raises OpsError."""
    pages = clients.read("s3").get_paginator("list_objects_v2")
    with calling("s3:ListObjectsV2"):
        found = list(pages.paginate(Bucket=bucket, Prefix=f"rehearsals/{scenario}/"))
    keys = [item["Key"] for page in found for item in page.get("Contents", []) if item["Key"].endswith(".json")]
    return max(keys, default="")
