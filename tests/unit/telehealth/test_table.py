"""The decision table of telehealth_degradation and the observations belong together: no dead row, no unknown word."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Status, decide
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import PROVIDER
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import PROVIDERS

from .readings import Spoil, all_failing, answer, bot_fails, flag, joins, line, look, relay, usual
from .test_rules import CUT_OFF, DOWN, NAMES, NEW_VERSION, ON_SECONDARY, ONE_ISP, SILENT, UDP_FAILS, delivered, see

ROOT = Path(__file__).resolve().parents[3]
TABLE = yaml.safe_load((ROOT / "roles/telehealth_degradation/vars/causes.yml").read_text())[
    "telehealth_degradation_causes"
]


def observed(*findings: str, unknown: str = "") -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "status": Status.FINDING if name in findings else Status.UNKNOWN if name == unknown else Status.OK,
        }
        for name in NAMES
    ]


def test_the_table_uses_no_word_that_nobody_observes() -> None:
    words = set()
    for row in TABLE:
        for entry in [*row["supported_by"], *row["contradicted_by"]]:
            words |= {entry} if isinstance(entry, str) else set(entry)
    assert words <= set(NAMES)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["cause"])
def test_every_row_is_reached_by_its_own_support(row: dict[str, Any]) -> None:
    groups = [[entry] if isinstance(entry, str) else entry for entry in row["supported_by"]]
    causes = {decide(TABLE, observed(*findings), False).cause for findings in itertools.product(*groups)}
    assert causes == {row["cause"]}


SWITCHING = [row for row in TABLE if "switch_provider" in row["mitigations"] and row["cause"] != "primary_recovered"]


@pytest.mark.parametrize("row", SWITCHING, ids=lambda row: row["cause"])
def test_a_switch_needs_to_know_that_the_other_provider_is_well(row: dict[str, Any]) -> None:
    first = [entry if isinstance(entry, str) else entry[0] for entry in row["supported_by"]]
    assert decide(TABLE, observed(*first), False).mitigations == ["switch_provider"]
    assert decide(TABLE, observed(*first, "other_unusable"), False).mitigations == ["book_by_phone"] or (
        row["cause"] == "control_api" and first == ["api_slow"]
    )
    assert decide(TABLE, observed(*first, unknown="other_unusable"), False).mitigations == []


ONE_ISP_BY_UDP = joins(line(90), line(30, 0, isp="faiba", failure="ice"), line(9, 7, transport="tcp"), kept=False)
ONE_ISP_WITHOUT_UDP = joins(
    *({**row, "good": "0", "failure": "ice"} for row in usual(isp="faiba") if row["transport"] == "udp")
)
# Nobody else has the version, and nobody in another network fails.
CONFOUNDED = joins(*(line(20, 0, isp="faiba", app_version="2026.48.0", transport=way) for way in ("udp", "tcp")))
API_DOWN: dict[str, Any] = {"status": DOWN, "token": DOWN, "room": DOWN, "webhooks": DOWN}
API_DOWN["relays"] = tuple(relay(way.transport, credential=False) for way in SILENT)
# Fault -> what is seen of it, the cause, and what is done first.
FAULTS: dict[str, tuple[list[Spoil], str, list[str]]] = {
    "control API down": ([look(**API_DOWN), all_failing("token_503")], "control_api", ["switch_provider"]),
    "control API down at night": (
        [look(**API_DOWN), joins(kept=False), bot_fails("primary")],
        "control_api",
        ["switch_provider"],
    ),
    "media only": (
        [look(relays=SILENT), all_failing("ice"), bot_fails("primary")],
        "media_plane",
        ["switch_provider"],
    ),
    "UDP blocked": (
        [
            UDP_FAILS,
            *(look(name, relays=(SILENT[0], relay(SILENT[1].transport))) for name in ("primary", "secondary")),
        ],
        "udp_blocked",
        ["force_relay"],
    ),
    "quota": ([look(token=answer(429)), all_failing("token_429")], "quota", ["switch_provider"]),
    "our key": ([all_failing("token_401")], "our_key", ["switch_provider"]),
    "webhook silence": ([delivered(30)], "webhooks_silent", []),
    "one app version": ([NEW_VERSION], "our_release", []),
    "one ISP": ([ONE_ISP], "one_network", []),
    "one ISP, and few come by TCP": ([ONE_ISP_BY_UDP], "one_network", []),
    "one ISP, which lets no UDP through": ([ONE_ISP_WITHOUT_UDP], "udp_blocked", ["force_relay"]),
    "one ISP and one version at once": ([CONFOUNDED], "", []),
    "both down": (
        [look(**API_DOWN), look("secondary", **API_DOWN), all_failing("token_503"), bot_fails("primary", "secondary")],
        "both_providers_down",
        ["book_by_phone"],
    ),
    "both down, on the secondary": (
        [
            flag(PROVIDER, "secondary", minutes=20),
            look(**API_DOWN),
            look("secondary", **API_DOWN),
            all_failing("token_503", provider="secondary"),
            bot_fails("primary", "secondary"),
        ],
        "both_providers_down",
        ["book_by_phone"],
    ),
    # What only we see is nobody's reason to change anything.
    "our probe alone: API down": ([look(**API_DOWN)], "", []),
    "our probe alone: slow": ([look(token=answer(201, 3001))], "", []),
    "our probe alone: key refused": ([look(token=answer(401), room=answer(401))], "", []),
    "our probe alone: throttled": ([look(token=answer(429), room=answer(429))], "", []),
    "both keys of ours refused": ([look(name, token=answer(401)) for name in PROVIDERS], "", []),
    "no way out": ([look(name, **CUT_OFF) for name in PROVIDERS], "", []),
    "no way out at night": ([*(look(name, **CUT_OFF) for name in PROVIDERS), joins(kept=False)], "", []),
    "no way out, and one network fails": ([*(look(name, **CUT_OFF) for name in PROVIDERS), ONE_ISP], "", []),
    "no way out, and the primary is down": (
        [*(look(name, **CUT_OFF) for name in PROVIDERS), all_failing("token_503"), bot_fails("primary")],
        "",
        [],
    ),
    "recovered": ([ON_SECONDARY], "primary_recovered", ["switch_provider"]),
    "only users fail": ([all_failing("ice")], "unexplained", []),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_what_is_seen_of_it(fault: str) -> None:
    spoils, cause, mitigations = FAULTS[fault]
    evidence = see(*spoils)
    found = decide(TABLE, evidence.observations, False)
    assert (found.cause, found.mitigations) == (cause, mitigations), found.ruled_out


def test_a_provider_that_was_switched_away_from_is_nobodys_trouble() -> None:
    """After the switch the primary is down still, and new sessions are well: there is nothing to do."""
    after = see(flag(PROVIDER, "secondary", minutes=5), look(**API_DOWN), joins(line(60, provider="secondary")))
    symptoms = {item["name"]: item["status"] for item in after.observations if item["symptom"]}
    assert set(symptoms.values()) == {"ok"}, symptoms
