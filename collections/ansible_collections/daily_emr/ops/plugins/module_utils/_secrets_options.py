# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the options that the modules of secrets share. May change without notice.

"""The options ``store`` and ``entry``: where secrets are kept, and what a key should be like. Never a value."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._secret_shapes import SHAPE_SPEC

Json = dict[str, Any]

GENERATED, ISSUED = "generated", "issued"

TEST_SPEC: Json = {
    # shape: nothing that could be asked. http: a read that needs the value. postgresql: a log-in with the URL.
    "kind": {"type": "str", "choices": ["shape", "http", "postgresql", "claims_api"], "default": "shape"},
    "url": {"type": "str"},
    # The inventory host whose claims_api it is.
    "component": {"type": "str"},
    "header": {"type": "str", "default": "Authorization"},
    "prefix": {"type": "str", "default": "Bearer "},
}

ENTRY_SPEC: Json = {
    "name": {"type": "str", "required": True},
    "about": {"type": "str", "default": ""},
    "shape": {"type": "dict", "options": SHAPE_SPEC, "default": {"kind": "text", "min_length": 16, "fields": []}},
    "max_age_days": {"type": "int", "default": 90},
    "source": {"type": "str", "choices": [GENERATED, ISSUED], "default": ISSUED},
    "rotated_by_aws": {"type": "bool", "default": False},
    "replicated": {"type": "bool", "default": True},
    "readers": {"type": "list", "elements": "str", "default": []},
    "used_by": {"type": "list", "elements": "str", "default": []},
    "test": {"type": "dict", "options": TEST_SPEC, "default": {"kind": "shape"}},
    "effect": {"type": "str", "default": ""},
}

STORE_SPEC: Json = {
    "component": {"type": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "backend": {"type": "dict", "default": {}},
    "copy_region": {"type": "str", "required": True},
    "kms_key": {"type": "str", "required": True, "no_log": False},
    "copy_kms_key": {"type": "str", "required": True, "no_log": False},
    "tags": {"type": "dict", "default": {}},
    "strangers": {"type": "list", "elements": "str", "default": []},
}

STORE_OPTION: Json = {"type": "dict", "required": True, "options": STORE_SPEC}
ENTRY_OPTION: Json = {"type": "dict", "required": True, "options": ENTRY_SPEC}
