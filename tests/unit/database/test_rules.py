"""Each rule at its edge: beside a finding the near miss that is none, and what cannot be told."""

from __future__ import annotations

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._database_causes import cpus
from ansible_collections.daily_emr.ops.plugins.module_utils._database_evidence import SYMPTOMS, DatabaseEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._database_findings import facts, judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._database_locks import choose
from ansible_collections.daily_emr.ops.plugins.module_utils._database_sessions import Attempt
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy as state_of
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import Trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

from tests.unit.database.readings import (
    BEGAN,
    DATABASE,
    GIB,
    INSIDE,
    THRESHOLDS,
    Json,
    Spoil,
    blocked,
    blocker,
    both,
    events,
    healthy,
    lost,
    session,
    setting,
    shut_out,
    slot,
    together,
    victim,
    with_probes,
    working,
)
from tests.unit.web_service.readings import ERROR, NOW, TIMEOUT, ready, task

DOWN = Answer(503, "", 4, {"error": "database unavailable"})
CACHE = Answer(503, "", 4, {"error": "cache unavailable"})


def look(*spoils: Spoil, **more: float) -> DatabaseEvidence:
    readings = healthy()
    for spoil in spoils:
        spoil(readings)
    return observe(readings, DATABASE, THRESHOLDS, NOW, **more)


def found(evidence: DatabaseEvidence) -> set[str]:
    return {item["name"] for item in evidence.observations if item["status"] == "finding"}


NAMES = sorted(item["name"] for item in look().observations)


def test_a_healthy_database_has_no_finding_and_no_unknown() -> None:
    evidence = look()
    assert {item["status"] for item in evidence.observations} == {"ok"}
    assert len(NAMES) == len(set(NAMES))
    assert state_of(judged(evidence)) is True
    assert set(SYMPTOMS) <= set(NAMES)


def status(value: str) -> Spoil:
    return setting("instance", {"status": value})


FAST, SLOW = Attempt(None, True, 499.0), Attempt(None, True, 501.0)
TASKS_SUFFER = both(ready=ready(ms=900))
IDLER = blocker(1, state="idle in transaction", state_s=301.0)
# Observation -> readings that make it a finding, that just do not, and that leave it unknown.
TABLE: dict[str, tuple[list[Spoil], list[Spoil], list[Spoil]]] = {
    "blocker_not_ours": (
        [blocked(root=blocker(1, role="emr_reports", victims=3))],
        [blocked(), blocked(waited_s=1.0, root=blocker(1, role="emr_reports", victims=3))],
        [lost("victims"), lost("blockers")],
    ),
    "instance_not_available": (
        [status("rebooting"), status("storage-full"), status("failed")],
        [status("backing-up"), status("storage-optimization")],
        [lost("instance")],
    ),
    "storage_full": ([status("storage-full")], [status("modifying")], [lost("instance")]),
    "instance_broken": (
        [status("failed"), status("incompatible-parameters"), status("inaccessible-encryption-credentials")],
        [status("storage-full"), status("rebooting")],
        [lost("instance")],
    ),
    "instance_in_transition": (
        [status("rebooting"), status("modifying")],
        [status("available"), status("failed"), status("storage-full")],
        [lost("instance")],
    ),
    "maintenance_pending": (
        [setting("maintenance", ["system-update"]), setting("instance", {"pending": ["AllocatedStorage"]})],
        [],
        [lost("maintenance"), lost("instance")],
    ),
    "failover_in_progress": (
        [
            events(("started", "2026-11-22T01:21:00.000Z")),
            events(("completed", "2026-11-22T01:10:00.000Z"), ("started", "2026-11-22T01:29:00.000Z")),
        ],
        [
            events(("started", "2026-11-22T01:19:00.000Z")),
            events(("started", "2026-11-22T01:25:00.000Z"), ("completed", "2026-11-22T01:26:00.000Z")),
            events(("abandoned", "2026-11-22T01:29:00.000Z")),
        ],
        [lost("events")],
    ),
    "failover_recent": (
        [events(("completed", "2026-11-22T01:01:00.000Z"))],
        [events(("completed", "2026-11-22T00:59:00.000Z")), events(("started", "2026-11-22T01:29:00.000Z"))],
        [lost("events")],
    ),
    "standby_missing": (
        [setting("instance", {"multi_az": False}), setting("instance", {"standby_zone": None})],
        [],
        [lost("instance")],
    ),
    "standby_behind": (
        [setting("instance", {"restorable_at": "2026-11-22T01:19:00.000Z"})],
        [setting("instance", {"restorable_at": "2026-11-22T01:21:00.000Z"})],
        [lost("instance"), setting("instance", {"restorable_at": None})],
    ),
    "endpoint_refusing": (
        [
            together(shut_out(trouble), both(ready=ready(database="refused"), chart=DOWN))
            for trouble in (Trouble.REFUSED, Trouble.TIMEOUT, Trouble.CLOSED)
        ],
        [shut_out(Trouble.AUTH), shut_out(Trouble.TOO_MANY), shut_out(Trouble.STARTING)],
        # The tasks get in, or nobody can say whether they do: it may be our own place that is outside.
        [
            lost("login"),
            shut_out(Trouble.TIMEOUT),
            together(shut_out(Trouble.TIMEOUT), lost("task_probes")),
            together(shut_out(Trouble.TIMEOUT), lost("task_probes", "targets")),
        ],
    ),
    "starting_up": (
        [shut_out(Trouble.STARTING)],
        [shut_out(Trouble.AUTH), shut_out(Trouble.TOO_MANY)],
        [lost("login"), shut_out(Trouble.REFUSED), shut_out(Trouble.ERROR)],
    ),
    "connections_refused": (
        [shut_out(Trouble.TOO_MANY)],
        [shut_out(Trouble.AUTH)],
        [lost("login"), shut_out(Trouble.STARTING), shut_out(Trouble.REFUSED)],
    ),
    "login_failing": (
        [shut_out(Trouble.AUTH)],
        [],
        [lost("login"), shut_out(Trouble.TOO_MANY), shut_out(Trouble.TIMEOUT)],
    ),
    "node_read_only": (
        [
            setting("node", {"in_recovery": True}),
            setting("write", Attempt(Trouble.READ_ONLY, True, 3.0)),
            setting("read_only_roles", [{"role": "emr_application"}]),
            setting("read_only_roles", [{"role": ""}]),
        ],
        [setting("read_only_roles", [{"role": "emr_reports"}])],
        [lost("node"), lost("write"), lost("read_only_roles")],
    ),
    "write_failing": (
        [
            setting("write", SLOW),
            setting("write", Attempt(Trouble.TIMEOUT, True, 3000.0)),
            setting("write", Attempt(Trouble.DISK_FULL, True, 3.0)),
            # The other session was let in at the same moment: it flaps.
            setting("write", Attempt(Trouble.TIMEOUT, False, 3000.0)),
        ],
        [setting("write", FAST)],
        [
            lost("write"),
            setting("write", Attempt(Trouble.DENIED, True, 3.0)),
            setting("write", Attempt(Trouble.ERROR, True, 3.0)),
            shut_out(Trouble.REFUSED),
            setting("write", Attempt(Trouble.TOO_MANY, False, 3.0)),
        ],
    ),
    "database_slow": (
        [setting("round_trips", [501.0, 501.0]), setting("round_trips", [1.0, 900.0, 900.0])],
        [setting("round_trips", [499.0, 499.0]), setting("round_trips", [900.0, 1.0, 1.0])],
        [lost("round_trips")],
    ),
    "corruption": (
        [
            setting("ages", {"checksum_failures": 1}),
            setting("write", Attempt(Trouble.CORRUPT, True, 3.0)),
            shut_out(Trouble.CORRUPT),
            lambda readings: readings.values.update(damaged=True),
        ],
        [],
        [lost("ages"), shut_out(Trouble.REFUSED)],
    ),
    "application_failing": (
        [both(chart=ERROR), with_probes(task(1, "a", chart=TIMEOUT), task(2, "b"))],
        [both(ready=ERROR)],
        [lost("task_probes"), with_probes(), both(live=TIMEOUT, ready=TIMEOUT, chart=TIMEOUT)],
    ),
    "application_auth_failing": (
        [both(ready=ready(database="auth"))],
        [both(ready=ready(database="refused")), both(ready=ready(cache="auth"))],
        [lost("task_probes")],
    ),
    "pools_stuck": (
        [both(chart=DOWN), both(chart=TIMEOUT), with_probes(task(1, "a", chart=DOWN), task(2, "b"))],
        [
            both(chart=ERROR),
            both(chart=CACHE),
            both(chart=DOWN, ready=ready(database="timeout")),
            both(chart=TIMEOUT, ready=ready(cache="timeout")),
            together(both(chart=DOWN), setting("write", Attempt(Trouble.TIMEOUT, True, 3000.0))),
        ],
        [
            lost("task_probes"),
            lost("write"),
            together(both(chart=DOWN), setting("write", Attempt(Trouble.DENIED, True, 3.0))),
        ],
    ),
    "secret_rotated": (
        [
            setting("secret", "2026-11-22T00:31:00Z"),
            together(setting("secret", "2026-11-21T00:00:00Z"), both(ready=ready(database="auth"))),
        ],
        [setting("secret", "2026-11-22T00:29:00Z")],
        [lost("secret")],
    ),
    "sessions_blocked": (
        [blocked(), blocked(wanted="AccessExclusiveLock")],
        [
            blocked(count=2),
            blocked(waited_s=9.0),
            setting("victims", [victim(2, 1), victim(4, 3), victim(6, 5)]),  # each for another
        ],
        [lost("victims"), lost("blockers")],
    ),
    "ddl_queued": (
        [blocked(wanted="AccessExclusiveLock")],
        [blocked(), blocked(wanted="AccessExclusiveLock", count=1)],
        [lost("victims")],
    ),
    "idle_in_transaction": (
        [blocked(root=IDLER)],
        [
            blocked(),
            blocked(root={**IDLER, "state_s": 299.0}),
            blocked(root={**IDLER, "state_s": None}),
            blocked(root={**IDLER, "state": "active"}),
        ],
        [lost("blockers")],
    ),
    "connections_exhausted": (
        [setting("connections", {"used": 171})],
        [setting("connections", {"used": 170})],
        [lost("connections")],
    ),
    "scaled_out": (
        [setting("capacity", {"maximum": 33}), setting("connection_limit", 36)],
        [setting("capacity", {"maximum": 32}), setting("capacity", None)],
        [lost("connection_limit"), lost("capacity"), lost("tasks")],
    ),
    "load_high": (
        [setting("sessions", [working(5)]), setting("metrics", {"load": 4.1})],
        [
            setting("sessions", [working(4)]),
            setting("sessions", [working(9, wait_event_type="Lock")]),
            setting("sessions", [working(9, wait_event_type="IPC", wait_event="SyncRep")]),
            setting("sessions", [session(50)]),
            together(setting("sessions", [working(9, wait_event_type="Lock")]), setting("metrics", {"load": 9.0})),
            lost("metrics"),
        ],
        [lost("sessions")],
    ),
    "query_dominates": (
        [together(setting("sessions", [working(4)]), setting("busy", [{"statement": "7", "n": 3}]))],
        [
            together(setting("sessions", [working(6)]), setting("busy", [{"statement": "7", "n": 3}])),
            together(setting("sessions", [working(2)]), setting("busy", [{"statement": "7", "n": 2}])),
            setting("busy", []),
        ],
        [lost("busy"), lost("sessions")],
    ),
    "long_transactions": (
        [setting("transactions", {"writing": 1, "longest_writing_s": 61.0})],
        [setting("transactions", {"longest_s": 900.0, "longest_writing_s": 59.0})],
        [lost("transactions")],
    ),
    "prepared_transactions": ([setting("prepared", {"prepared": 1})], [], [lost("prepared")]),
    "migration_failed": ([setting("migrations", {"failed": 1})], [], [lost("migrations")]),
    "storage_low": (
        [setting("metrics", {"free_bytes": 14.9 * GIB})],
        [setting("metrics", {"free_bytes": 15.0 * GIB})],
        [lost("metrics"), lost("instance"), setting("metrics", {"free_bytes": None})],
    ),
    "slot_orphaned": (
        [
            setting("slots", [slot("left")]),
            setting("slots", [slot("rds_af_south_1_db_x")]),
            together(setting("slots", [slot("left", gib=None)]), setting("metrics", {"slot_bytes": 11.0 * GIB})),
        ],
        [
            setting("slots", [slot("left", active=True)]),
            setting("slots", [slot("warehouse")]),
            setting("slots", [slot("left", gib=9.0)]),
            setting("slots", []),
            together(setting("slots", [slot("rds_af_south_1_db_x")]), setting("instance", {"replicas": ["copy"]})),
        ],
        [lost("slots"), lost("instance"), setting("instance", {"allocated_gib": None})],
    ),
    "wraparound_near": (
        [setting("ages", {"transaction_ids": 1_000_000_001}), setting("metrics", {"transaction_ids": 1.1e9})],
        [setting("ages", {"transaction_ids": 999_999_999})],
        [lost("ages")],
    ),
    "read_only_mode": ([setting("read_only", {"on": True})], [], [lost("read_only")]),
    "failover_since_read_only": (
        [together(setting("read_only", {"on": True}), events(("completed", "2026-11-22T01:28:00.000Z")))],
        [
            setting("read_only", {"on": True}),
            events(("completed", "2026-11-22T01:28:00.000Z")),
            # Somebody stopped the writes after the failover.
            together(
                setting("read_only", {"on": True, "changed_at": "2026-11-22T01:29:00Z"}),
                events(("completed", "2026-11-22T01:28:00.000Z")),
            ),
        ],
        [lost("read_only"), lost("events")],
    ),
    "cpu_high": (
        [setting("metrics", {"cpu_percent": 91.0})],
        [setting("metrics", {"cpu_percent": 90.0})],
        [lost("metrics"), setting("metrics", {"cpu_percent": None})],
    ),
    "io_exhausted": (
        [setting("metrics", {"io_balance_percent": 19.0}), setting("metrics", {"byte_balance_percent": 0.0})],
        [setting("metrics", {"io_balance_percent": 20.0})],
        [lost("metrics"), setting("metrics", {"byte_balance_percent": None})],
    ),
    "host_impaired": (
        [
            together(setting("round_trips", [900.0, 900.0]), TASKS_SUFFER),
            together(setting("write", SLOW), TASKS_SUFFER),
            together(setting("write", SLOW), setting("metrics", {"write_latency_s": 0.6})),
        ],
        [
            # Minutes ago; the look now is fast.
            setting("metrics", {"write_latency_s": 0.6}),
            setting("write", Attempt(Trouble.READ_ONLY, True, 3.0)),
            setting("write", Attempt(Trouble.DISK_FULL, True, 3.0)),
            together(setting("write", SLOW), blocked()),
            together(setting("write", SLOW), setting("sessions", [working(9)])),
            together(setting("write", SLOW), setting("connections", {"used": 199})),
            together(setting("write", SLOW), setting("metrics", {"free_bytes": 1.0 * GIB})),
            together(setting("write", SLOW), status("storage-full")),
            together(setting("write", SLOW), setting("metrics", {"cpu_percent": 97.0})),
            together(setting("write", SLOW), setting("metrics", {"io_balance_percent": 3.0})),
        ],
        [
            # Nobody else says so.
            together(setting("write", SLOW), lost("task_probes")),
            lost("write"),
            lost("round_trips"),
            shut_out(Trouble.REFUSED),
            together(setting("write", SLOW), lost("victims")),
            # The tasks find it fast: it may be the way from here that is slow.
            together(setting("write", Attempt(Trouble.CLOSED, True, 900.0)), with_probes(task(1, "a", chart=TIMEOUT))),
            setting("write", SLOW),
            setting("round_trips", [900.0, 900.0]),
            together(setting("write", SLOW), lost("metrics")),
        ],
    ),
}


def test_every_observation_has_its_row() -> None:
    assert sorted(TABLE) == NAMES


CASES = [
    pytest.param(name, spoil, wanted, id=f"{name} {wanted} {number}")
    for name, rows in TABLE.items()
    for wanted, spoils in zip(("finding", "ok", "unknown"), rows, strict=True)
    for number, spoil in enumerate(spoils)
]


@pytest.mark.parametrize(("name", "spoil", "wanted"), CASES)
def test_a_rule_at_its_edge(name: str, spoil: Spoil, wanted: str) -> None:
    evidence = look(spoil)
    seen = {item["name"]: (item["status"], item["seen"]) for item in evidence.observations}
    assert seen[name][0] == wanted, seen[name]
    if name in SYMPTOMS and wanted == "finding":
        assert state_of(judged(evidence)) is False


@pytest.mark.parametrize("name", SYMPTOMS)
def test_a_symptom_that_is_unknown_leaves_the_health_open(name: str) -> None:
    evidence = look()
    for item in evidence.observations:
        if item["name"] == name:
            item["status"] = "unknown"
    assert state_of(judged(evidence)) is None


@pytest.mark.parametrize("reading", sorted(set(healthy().values) - {"bloat", "replicas", "replay", "targets"}))
def test_a_reading_that_failed_is_never_ok_and_never_a_finding(reading: str) -> None:
    evidence = look(lost(reading))
    assert found(evidence) == set()
    assert sorted(item["name"] for item in evidence.observations) == NAMES
    assert any(item["status"] == "unknown" for item in evidence.observations), "a call for nothing"


def test_without_a_session_everything_that_rests_on_one_is_unknown() -> None:
    evidence = look(shut_out(Trouble.STARTING))
    assert found(evidence) == {"starting_up"}
    unknown = {item["name"] for item in evidence.observations if item["status"] == "unknown"}
    assert {"node_read_only", "write_failing", "database_slow", "sessions_blocked", "connections_exhausted"} <= unknown
    assert {"slot_orphaned", "load_high", "long_transactions", "corruption", "host_impaired"} <= unknown
    assert set(INSIDE) - set(healthy().values) == set()


def test_aws_paces_some_periods_and_people_the_others() -> None:
    """Twenty times faster than AWS: five minutes of idling are fifteen seconds, ten seconds of waiting are ten."""
    idler = blocked(root={**IDLER, "state_s": 16.0}, waited_s=9.0)
    fresh = setting("instance", {"restorable_at": NOW})
    assert found(look(fresh, idler, time_factor=20.0)) == {"idle_in_transaction"}
    assert found(look(fresh, events(("completed", "2026-11-22T01:28:00.000Z")), time_factor=20.0)) == set()
    assert found(look(fresh, events(("started", "2026-11-22T01:29:00.000Z")), time_factor=20.0)) == set()


def test_a_failover_that_is_under_way_names_its_beginning() -> None:
    began = "2026-11-22T01:29:00.000Z"
    assert look(events(("started", began))).subjects["failover_started_at"] == began
    assert look().subjects["failover_started_at"] is None


ROLE = "emr_application"
DDL = victim(2, 1, wanted="AccessExclusiveLock")
BEHIND = [victim(3, 2, 1), victim(4, 2, 1)]
CHOSEN: dict[str, tuple[list[Json], list[Json], tuple[int, str, int] | None]] = {
    "the schema change in the queue, not its root": ([IDLER], [DDL, *BEHIND], (2, "cancel", 2)),
    "who idles is terminated": ([IDLER], [victim(2, 1), victim(3, 1)], (1, "terminate", 2)),
    "who idles for a moment only is cancelled": ([{**IDLER, "state_s": 2.0}], [victim(2, 1)], (1, "cancel", 1)),
    "who works is cancelled": ([blocker(1)], [victim(2, 1)], (1, "cancel", 1)),
    "a schema change of somebody else is left alone": (
        [IDLER],
        [{**DDL, "role": "rdsadmin"}, *BEHIND],
        (1, "terminate", 3),
    ),
    "nobody is ended who is not the application": ([blocker(1, role="rdsadmin")], [victim(2, 1)], None),
    "no replication or background worker": ([blocker(1, role=None)], [victim(2, 1)], None),
    "the next root when the first is somebody else's": (
        [blocker(1, role="postgres"), blocker(9)],
        [victim(2, 1), victim(3, 1), victim(4, 9)],
        (9, "cancel", 1),
    ),
    "a prepared transaction has no session": ([], [victim(2, 0)], None),
    "the schema change with the longest queue": (
        [],
        [DDL, *BEHIND, victim(12, 11, wanted="AccessExclusiveLock"), *[victim(20 + n, 12) for n in range(5)]],
        (12, "cancel", 5),
    ),
    "a deadlock comes to an end": ([], [victim(1, 2), victim(2, 1)], None),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_the_session_to_end_is_chosen_by_rule(case: str) -> None:
    blockers, victims, wanted = CHOSEN[case]
    chosen = choose(blockers, victims, ROLE, idle_s=300.0)
    assert (chosen and (chosen["pid"], chosen["action"], chosen["victims"])) == wanted
    if chosen:
        assert chosen["backend_start"] == BEGAN


def test_a_session_is_named_only_when_sessions_are_blocked() -> None:
    assert look(blocked()).subjects["blocking_session"]["pid"] == 1
    assert look(blocked(waited_s=1.0)).subjects["blocking_session"] is None


def test_subjects_are_what_mitigations_act_on() -> None:
    subjects = look(setting("slots", [slot("left")]), setting("connection_limit", 40)).subjects
    assert (subjects["orphaned_slot"], subjects["fitting_tasks"], subjects["allocated_gib"]) == ("left", 6, 100)
    assert subjects["node"] == {"address": "10.0.3.17", "port": 5432, "started": BEGAN}
    assert look(lost("connection_limit")).subjects["fitting_tasks"] is None


@pytest.mark.parametrize(
    ("instance_class", "count"),
    [("db.m6g.large", 2), ("db.t4g.micro", 2), ("db.r6g.xlarge", 4), ("db.m6g.4xlarge", 16), ("db.serverless", 2)],
)
def test_an_instance_class_says_how_many_processors(instance_class: str, count: int) -> None:
    assert cpus(instance_class) == count


def test_facts_are_numbers() -> None:
    def numbers(value: object) -> bool:
        if isinstance(value, dict):
            return all(map(numbers, value.values()))
        if isinstance(value, list):
            return all(map(numbers, value))
        return value is None or isinstance(value, (int, float))

    assert numbers(facts(healthy()))
    assert numbers(facts(Readings()))


def test_hostile_names_stay_one_line_of_data() -> None:
    evidence = look(setting("slots", [slot("x\x1b[2J\n{{ lookup('pipe', 'id') }}" + "y" * 1000)]))
    seen = next(item["seen"] for item in evidence.observations if item["name"] == "slot_orphaned")
    assert seen.isprintable()
    assert len(seen) <= 300
    assert evidence.subjects["orphaned_slot"].isprintable()
