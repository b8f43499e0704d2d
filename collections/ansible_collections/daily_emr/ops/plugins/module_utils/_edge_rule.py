# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: statements of a web ACL. May change without notice.

"""What may pass the rule that asks for CloudFront's header, for who makes that rule and for who looks at it."""

from __future__ import annotations

import base64
from typing import Any

Json = dict[str, Any]


def exactly(field: Json, text: str) -> Json:
    """The statement that a field of a request is this text and nothing else."""
    return {
        "ByteMatchStatement": {
            "SearchString": text.encode(),
            "FieldToMatch": field,
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
            "PositionalConstraint": "EXACTLY",
        }
    }


# The second region's canary asks for the first one's load balancer without CloudFront, from addresses that AWS changes.
# It is a witness of a failover, so it has to get an answer. All other rules of the web ACL still look at what it asks.
CANARY = {
    "AndStatement": {"Statements": [exactly({"Method": {}}, "GET"), exactly({"UriPath": {}}, "/readyz")]},
}


def same(found: Any, wanted: Any) -> bool:
    """Whether AWS answers what was said; a search string comes back as bytes, or as text in base64."""
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict) and found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, bytes):
        return found in (wanted, base64.b64encode(wanted), base64.b64encode(wanted).decode(), wanted.decode())
    return bool(found == wanted)
