"""Each change of a queue of BullMQ, on a real server with both key layouts: check, apply, check again, apply again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _queue_program
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import QueueUnknown

from tests.unit.changes.world import Json
from tests.unit.queue.conftest import PLANTED, QueueRunner, QueueWorld, Valkey, add, now_ms, work


@dataclass
class Case:
    """A queue on which one change is due: its steps, the change, and its state before and after."""

    module: str
    steps: list[Json]
    args: Json
    before: Json
    after: Json
    undo: str = ""
    ignored: tuple[str, ...] = field(default=("slice",))


POISON = work(bad=("TemplateError", PLANTED))
OUTAGE = work(bad=("GatewayError", f"the gateway answered 503 to {{{PLANTED}}}"))
PAUSED, RUNNING = {"state": "paused"}, {"state": "running"}
CASES = {
    "resume": Case("queue_state", [add(7), {"do": "pause"}], RUNNING, PAUSED, RUNNING, "queue_state"),
    "pause": Case("queue_state", [add(7)], {**PAUSED, "critical": False}, RUNNING, PAUSED, "queue_state"),
    "concurrency": Case(
        "queue_limit",
        [add(1)],
        {"limit": "concurrency", "value": 3},
        {"limit": "concurrency", "value": 0},
        {"limit": "concurrency", "value": 3},
        "queue_limit",
    ),
    "rate": Case(
        "queue_limit",
        [add(1)],
        {"limit": "rate", "value": 5},
        {"limit": "rate", "value": 0},
        {"limit": "rate", "value": 5},
        "queue_limit",
    ),
    "lift": Case(
        "queue_limit",
        [add(1), {"do": "concurrency", "value": 1}],
        {"limit": "concurrency", "value": 0},
        {"limit": "concurrency", "value": 1},
        {"limit": "concurrency", "value": 0},
        "queue_limit",
    ),
    "quarantine": Case(
        "queue_quarantine",
        [add(24, "bad", data={"patient": PLANTED}), add(5), POISON],
        {},
        {"failed": 24, "quarantined": 0},
        {"failed": 0, "quarantined": 24},
        "queue_quarantine",
    ),
    "redrive": Case("queue_redrive", [add(5, "bad"), OUTAGE, add(1)], {"number": 1}, {"failed": 5}, {"failed": 0}),
}


def arguments(run: QueueRunner, case: Case) -> Json:
    """The arguments, with the class of the failures as the diagnosis names it."""
    if case.module not in ("queue_quarantine", "queue_redrive"):
        return case.args
    (group,) = run.read("queue_health")["facts"]["failures"]
    named = {"signature": group["signature"]} if case.module == "queue_quarantine" else {}
    named |= {"signatures": [group["signature"]]} if case.module == "queue_redrive" else {}
    return {**case.args, **named, "failed_before_ms": now_ms()}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, redis: Valkey, version: int) -> Case:
    found: Case = CASES[request.param]
    redis.jobs(version, *found.steps)
    return found


@pytest.fixture(autouse=True)
def _at_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are at the queue whenever a redrive asks for them; nobody judges its slice here."""
    asked = _queue_program.ask

    def ask(*args: Any, **more: Any) -> Json:
        return asked(*args, **more) | {"workers": 2}

    for module in ("_queue_changes", "_queue_readings"):
        path = f"ansible_collections.daily_emr.ops.plugins.module_utils.{module}.ask"
        monkeypatch.setattr(path, ask)


def shown(state: Json, case: Case) -> Json:
    return {name: value for name, value in state.items() if name not in case.ignored}


def keys(redis: Valkey) -> Json:
    """Everything a queue holds, to see that nothing was written."""
    kinds = {"list": redis.client.llen, "zset": redis.client.zcard, "hash": redis.client.hgetall}
    return {key: kinds.get(redis.client.type(key), str)(key) for key in redis.client.keys("bull:*")}


def test_check_apply_check_apply(case: Case, redis: Valkey, run: QueueRunner) -> None:
    args, jobs, there = arguments(run, case), redis.all_jobs(), keys(redis)
    plan = run(case.module, check=True, **args)
    assert (plan["outcome"], plan["changed"], plan["refusals"]) == ("planned", True, []), plan["msg"]
    assert (shown(plan["diff"]["before"], case), shown(plan["diff"]["after"], case)) == (case.before, case.after)
    assert plan["prediction"][1].startswith("Depth: ")
    assert keys(redis) == there, "check mode writes nothing"

    done = run(case.module, **args)
    assert (done["outcome"], done["changed"]) == ("ok", True), done["msg"]
    assert shown(done["diff"]["after"], case) == case.after
    there = keys(redis)

    for check in (True, False):
        again = run(case.module, check=check, **args)
        assert (again["outcome"], again["changed"]) == ("noop", False), again["msg"]
    assert keys(redis) == there, "a second time writes nothing"
    assert redis.all_jobs() + redis.all_jobs("notifications-quarantine") == jobs, "no job is lost"
    assert "Otieno" not in json.dumps([plan, done, again])


def test_the_undo_undoes(case: Case, redis: Valkey, run: QueueRunner) -> None:
    undo = run(case.module, **arguments(run, case))["undo"]
    if not case.undo:
        assert undo.startswith("Nothing to undo")
        return
    args = {name: value for name, value in undo["args"].items() if name != "queue"}
    done = run(undo["module"].removeprefix("daily_emr.ops."), **args)
    assert done["outcome"] == "ok", done["msg"]
    if case.module == "queue_quarantine":
        # What was put aside waits again; nothing of what it holds is lost.
        assert (redis.count("wait"), redis.all_jobs("notifications-quarantine")) == (24, 0)
        held = [
            redis.client.hget(f"bull:notifications:{job}", "data")
            for job in redis.client.lrange("bull:notifications:wait", 0, -1)
        ]
        assert held == [json.dumps({"patient": PLANTED}, separators=(",", ":"))] * 24
    else:
        assert shown(done["diff"]["after"], case) == case.before


def test_a_change_needs_a_lease(case: Case, redis: Valkey, run: QueueRunner) -> None:
    change = run.change(case.module, arguments(run, case), incident=False)
    there = keys(redis)
    result = execute_change(change, change.clients, None, check_mode=False)
    assert (result["refused"], keys(redis)) == (True, there)


@pytest.mark.parametrize(("done", "outcome"), [(True, "ok"), (False, "unknown")])
def test_a_lost_reply_is_looked_after_and_never_sent_again(
    done: bool, outcome: str, redis: Valkey, run: QueueRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.jobs(5, add(7), {"do": "pause"})
    sent: list[str] = []
    real = _queue_program.send

    def send(clients: Any, queue: Json, place: Json, command: str, **more: Any) -> Json:
        sent.append(command)
        if done:
            real(clients, queue, place, command, **more)
        raise QueueUnknown("bullmq:resume on notifications", "timeout")

    monkeypatch.setattr("ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes.send", send)
    result = run("queue_state", state="running")
    assert (result["outcome"], sent) == (outcome, ["resume"]), result["msg"]


@dataclass
class Refusal:
    """What keeps a change that is otherwise due from being made, and a word of the sentence."""

    words: str
    module: str = "queue_state"
    args: Json = field(default_factory=lambda: dict(RUNNING))
    steps: tuple[Json, ...] = (add(7), {"do": "pause"})
    world: Json = field(default_factory=dict)
    queue: Json = field(default_factory=dict)


REFUSALS = {
    "failing over": Refusal("modifying", world={"group_status": "modifying"}),
    "maintenance": Refusal("planned maintenance", world={"service_tags": {"maintenance": "INC-9"}}),
    "critical": Refusal("at the bedside", args={"state": "paused"}, steps=(add(7),)),
    "beyond the provider": Refusal("accepts 40", "queue_limit", {"limit": "rate", "value": 41}, (add(1),)),
    "lift at high load": Refusal(
        "CPU of the database",
        "queue_limit",
        {"limit": "concurrency", "value": 0},
        (add(1), {"do": "concurrency", "value": 1}),
        {"metrics": {"CPUUtilization": 71.0, "DatabaseConnections": 14.0}},
    ),
    "lift beyond the provider": Refusal(
        "10.0 jobs a second would be done then, and the provider accepts 9",
        "queue_limit",
        {"limit": "rate", "value": 0},
        (add(1), {"do": "rate", "value": 1}),
        queue={"provider_rate": 9},
    ),
    "lift the other limit beyond the provider": Refusal(
        "10.0 jobs a second would be done then, and the provider accepts 9",
        "queue_limit",
        {"limit": "concurrency", "value": 0},
        (add(1), {"do": "concurrency", "value": 1}),
        queue={"provider_rate": 9},
    ),
    "too few": Refusal(
        "20 are needed", "queue_quarantine", {"signature": "?"}, (add(19, "bad"), POISON), queue={"prefix": "bull"}
    ),
    "not twice": Refusal(
        "may not run twice", "queue_redrive", {"number": 1}, (add(5, "bad"), OUTAGE), queue={"idempotent": False}
    ),
    "slice before unknown": Refusal("slice before", "queue_redrive", {"number": 2}, (add(5, "bad"), OUTAGE)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused(name: str, redis: Valkey, run: QueueRunner, queues: QueueWorld) -> None:
    refusal = REFUSALS[name]
    redis.jobs(6, *refusal.steps)
    args = arguments(run, Case(refusal.module, [], refusal.args, {}, {}))
    for attribute, value in refusal.world.items():
        setattr(queues, attribute, value)
    run.queue |= refusal.queue
    there = keys(redis)
    result = run(refusal.module, **args)
    assert result["outcome"] == "refused", result["msg"]
    assert refusal.words in " ".join(result["refusals"])
    assert keys(redis) == there


def test_a_pause_by_raw_keys_is_not_resumed_on_layout_5(redis: Valkey, run: QueueRunner) -> None:
    """The control: the package itself loses them."""
    redis.jobs(5, add(5), {"do": "raw_pause"}, add(3))
    assert (redis.count("wait"), redis.count("paused")) == (5, 3)
    result = run("queue_state", state="running")
    assert result["outcome"] == "refused"
    assert "would lose one of the lists" in result["msg"]
    assert redis.all_jobs() == 8
    with pytest.raises(_queue_program.QueueFailed, match="raw keys"):
        send(run, "resume")
    assert redis.all_jobs() == 8


def send(run: QueueRunner, command: str) -> Json:
    """What a change would send, without its refusals: something may have happened since it looked."""
    found = run.change("queue_state", {"state": "running"})
    place = _queue_program.place_of(found.clients, run.queue)
    return _queue_program.send(found.clients, run.queue, place, command, expects={"layout": 5})


@pytest.mark.parametrize(("command", "target", "paused"), [("resume", "wait", True), ("pause", "paused", False)])
def test_one_list_alone_is_refused_where_it_would_be_lost_on_layout_5(
    command: str, target: str, paused: bool, redis: Valkey, run: QueueRunner
) -> None:
    """The other one may be filled between a look and the call: the package renames it over what stands there."""
    redis.jobs(5, add(5), *([{"do": "raw_pause"}] if paused else [{"do": "pause"}]))
    if not paused:
        redis.client.hdel("bull:notifications:meta", "paused")
    assert redis.count(target) == redis.all_jobs() == 5
    args = {"state": "running"} if paused else {"state": "paused", "critical": False}
    result = run("queue_state", **args)
    assert (result["outcome"], "would lose one of the lists" in result["msg"]) == ("refused", True), result["msg"]
    with pytest.raises(_queue_program.QueueFailed, match="raw keys"):
        send(run, command)
    assert redis.count(target) == 5


def test_what_a_pause_of_layout_5_left_behind_is_taken_back_on_layout_6(redis: Valkey, run: QueueRunner) -> None:
    """A queue is not running as long as jobs stand where no worker takes them; the package takes 7000 in one step."""
    redis.jobs(5, add(5), {"do": "pause"})
    redis.jobs(6, add(2))
    redis.client.rpush("bull:notifications:paused", *range(1000, 8100))
    redis.client.hdel("bull:notifications:meta", "paused")
    assert (redis.count("paused"), redis.count("wait")) == (7105, 2)
    plan = run("queue_state", state="running", check=True)
    assert plan["diff"] == {"before": {"state": "resuming"}, "after": {"state": "running"}}
    assert plan["undo"].startswith("Nothing to undo")
    assert run("queue_state", state="running")["outcome"] == "ok"
    assert (redis.count("paused"), redis.count("wait")) == (0, 7107)
    assert run("queue_state", state="running")["outcome"] == "noop"


def test_a_resume_that_leaves_jobs_behind_is_not_done(
    redis: Valkey, run: QueueRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.jobs(5, add(5), {"do": "pause"})
    redis.jobs(6, add(2))

    def send(*_asked: Any, **_more: Any) -> Json:
        redis.client.hdel("bull:notifications:meta", "paused")
        return {}

    monkeypatch.setattr("ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes.send", send)
    assert run("queue_state", state="running")["outcome"] == "unknown"


def test_a_queue_of_an_unknown_version_is_left_alone(redis: Valkey, run: QueueRunner) -> None:
    redis.jobs(5, add(7), {"do": "pause"})
    for version in ("bullmq:4.12.0", "bullmq-pro:7.1.2", ""):
        redis.client.hset("bull:notifications:meta", "version", version)
        result = run("queue_state", state="running")
        assert result["outcome"] == "refused", version
        assert "neither BullMQ 5 nor 6" in result["msg"]
    assert redis.count("paused") == 7


def test_a_version_that_changed_meanwhile_gets_no_call(redis: Valkey, run: QueueRunner) -> None:
    redis.jobs(5, add(7), {"do": "pause"})
    change = run.change("queue_state", {"state": "running"})
    before = change.observe()
    redis.client.hset("bull:notifications:meta", "version", "bullmq:6.7.0")
    with pytest.raises(_queue_program.QueueFailed, match="no longer the one that was seen"):
        change.apply(before)
    assert redis.count("paused") == 7


def test_a_server_that_takes_no_writes_is_not_done(redis: Valkey, run: QueueRunner) -> None:
    """Full, the server refuses what would add to it; that is known not to be done."""
    redis.jobs(5, add(24, "bad"), add(5), POISON)
    args = arguments(run, CASES["quarantine"])
    redis.client.config_set("maxmemory", "1mb")
    try:
        result = run("queue_quarantine", **args)
    finally:
        redis.client.config_set("maxmemory", "0")
    assert result["outcome"] == "failed", result["msg"]
    assert "out of memory" in result["msg"]
    assert redis.count("failed") == 24


def test_a_job_is_in_one_of_two_places_when_a_move_breaks_off(redis: Valkey, run: QueueRunner) -> None:
    """A copy without the removal: the next run finishes it, and the job is there once."""
    redis.jobs(5, add(24, "bad"), add(5), POISON)
    args = arguments(run, CASES["quarantine"])
    ids = redis.client.zrange("bull:notifications:failed", 0, 2)
    made = [redis.client.hget(f"bull:notifications:{job}", "timestamp") for job in ids]
    copies = [add(1, "bad", opts={"jobId": f"q-{at}-{job}"}) for job, at in zip(ids, made, strict=True)]
    redis.jobs(5, *copies, name="notifications-quarantine")
    done = run("queue_quarantine", **args)
    assert done["outcome"] == "ok", done["msg"]
    assert (redis.count("failed"), redis.all_jobs("notifications-quarantine")) == (0, 24)


def test_a_job_with_children_stays_where_it_is(redis: Valkey, run: QueueRunner) -> None:
    """Its removal would take them with it, out of whatever queue they are in."""
    redis.jobs(5, add(24, "bad"), add(5), POISON)
    (parent,) = redis.client.zrange("bull:notifications:failed", 0, 0)
    redis.client.hset(f"bull:notifications:{parent}:processed", "bull:labels:1", "{}")
    done = run("queue_quarantine", **arguments(run, CASES["quarantine"]))
    assert done["outcome"] == "ok", done["msg"]
    assert (redis.count("failed"), redis.all_jobs("notifications-quarantine")) == (1, 23)


class TestHalfAMove:
    """A job is moved by adding it there and taking it away here; somebody else may have it in between."""

    @pytest.fixture(autouse=True)
    def _poisoned(self, redis: Valkey, version: int, run: QueueRunner) -> None:
        self.version = version
        redis.jobs(version, add(24, "bad"), add(5), POISON)
        self.args = arguments(run, CASES["quarantine"])
        self.first = redis.client.zrange("bull:notifications:failed", 0, 0)[0]
        made = redis.client.hget(f"bull:notifications:{self.first}", "timestamp")
        self.copy = f"q-{made}-{self.first}"

    def hold(self, redis: Valkey, job: str, name: str = "notifications") -> None:
        """Somebody works at it, as far as the package can tell."""
        redis.client.set(f"bull:{name}:{job}:lock", "somebody")

    def places(self, redis: Valkey) -> tuple[int, int, int]:
        return redis.count("failed"), redis.count("wait"), redis.all_jobs("notifications-quarantine")

    @pytest.mark.parametrize("act", ["taken", "taken_late"])
    def test_a_job_that_is_sent_again_meanwhile_is_not_put_aside(
        self, act: str, redis: Valkey, run: QueueRunner
    ) -> None:
        if act == "taken":
            # No copy of it is made, which could not be taken away again.
            self.hold(redis, self.copy, "notifications-quarantine")
        redis.jobs(self.version, {"do": "meanwhile", "act": act})
        assert run("queue_quarantine", **self.args)["outcome"] == "ok"
        assert self.places(redis) == (0, 1, 23)

    def test_a_job_that_cannot_be_taken_away_is_not_left_in_both_places(self, redis: Valkey, run: QueueRunner) -> None:
        self.hold(redis, self.first)
        assert run("queue_quarantine", **self.args)["outcome"] == "ok"
        assert self.places(redis) == (1, 0, 23)

    def test_nobody_can_say_that_it_was_done_when_the_copy_stays(self, redis: Valkey, run: QueueRunner) -> None:
        self.hold(redis, self.first)
        self.hold(redis, self.copy, "notifications-quarantine")
        with pytest.raises(QueueUnknown, match="in the queue and in its quarantine"):
            self.apply(run)
        # All others of the same batch were waited for, and are counted in what nobody can say.
        assert self.places(redis) == (5, 0, 20)

    def apply(self, run: QueueRunner, **more: Any) -> None:
        change = run.change("queue_quarantine", {**self.args, **more})
        change.apply(change.observe())

    @pytest.mark.parametrize("module", ["queue_quarantine", "queue_redrive"])
    def test_what_others_of_a_batch_did_counts_when_one_is_refused(
        self, module: str, redis: Valkey, run: QueueRunner
    ) -> None:
        """One that the server refuses was not done; those beside it were, so nobody can say that nothing was."""
        args = self.args if module == "queue_quarantine" else arguments(run, CASES["redrive"])
        change = run.change(module, args)
        seen = change.observe()
        redis.jobs(self.version, {"do": "meanwhile", "act": "refused"})
        with pytest.raises(QueueUnknown, match="out of memory"):
            change.apply(seen)
        assert redis.count("failed") < 24

    def test_what_is_put_back_and_stays_is_not_called_done(self, redis: Valkey, run: QueueRunner) -> None:
        run("queue_quarantine", **self.args)
        self.hold(redis, self.copy, "notifications-quarantine")
        with pytest.raises(QueueUnknown, match="in the queue and in its quarantine"):
            self.apply(run, state="released")

    def test_the_copy_of_a_job_that_never_left_is_not_put_back(self, redis: Valkey, run: QueueRunner) -> None:
        made = redis.client.hget(f"bull:notifications:{self.first}", "timestamp")
        opts = {"jobId": self.copy, "timestamp": int(made)}
        redis.jobs(self.version, {"do": "pause"}, add(1, "bad", opts=opts), name="notifications-quarantine")
        assert run("queue_quarantine", state="released")["outcome"] == "ok"
        assert self.places(redis) == (24, 0, 0)

    def test_so_many_are_put_back_at_once_and_no_more(
        self, redis: Valkey, run: QueueRunner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("queue_quarantine", **self.args)
        monkeypatch.setattr("ansible_collections.daily_emr.ops.plugins.modules.queue_quarantine.MOST", 10)
        left = []
        for _ in range(3):
            done = run("queue_quarantine", state="released")
            assert done["outcome"] == "ok", done["msg"]
            left.append(done["diff"]["after"]["quarantined"])
        assert left == [14, 4, 0]
        assert self.places(redis) == (0, 24, 0)
        # Those with a priority stand in another list, and count as well.
        copies = [add(1, opts={"jobId": f"q-1-{job}", "priority": job % 2}) for job in range(100, 116)]
        redis.jobs(self.version, *copies, name="notifications-quarantine")
        assert run("queue_quarantine", state="released")["diff"]["after"]["quarantined"] == 6

    @pytest.mark.parametrize(("reconciled", "outcome"), [(False, "refused"), (True, "ok")])
    def test_jobs_that_may_not_run_twice_are_put_back_when_they_are_reconciled(
        self, reconciled: bool, outcome: str, redis: Valkey, run: QueueRunner
    ) -> None:
        run.queue["idempotent"] = False
        # Putting them aside runs none.
        assert run("queue_quarantine", **self.args)["outcome"] == "ok"
        assert run("queue_quarantine", state="released", reconciled=reconciled)["outcome"] == outcome
        assert self.places(redis) == ((0, 24, 0) if reconciled else (0, 0, 24))


def test_no_limit_is_lifted_when_nobody_knows_how_many_workers_there_are(
    redis: Valkey, run: QueueRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.jobs(6, add(1), {"do": "rate", "value": 1})
    asked = _queue_program.ask
    hidden = {"workers": None}
    path = "ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes.ask"
    monkeypatch.setattr(path, lambda *args, **more: asked(*args, **more) | hidden)
    result = run("queue_limit", limit="rate", value=0)
    assert "Nobody knows how many jobs a second would be done then" in result["msg"]
    # Another limit that stays bounds them.
    redis.jobs(6, {"do": "concurrency", "value": 4})
    assert run("queue_limit", limit="rate", value=0)["outcome"] == "ok"


def test_a_handle_does_not_give_a_number_away(redis: Valkey, run: QueueRunner, version: int) -> None:
    redis.jobs(version, add(5, "bad"), OUTAGE)
    handles = run.change("queue_redrive", arguments(run, CASES["redrive"])).observe()["slice"]
    tried = {hashlib.sha256(f"bull\0notifications\0{job}".encode()).hexdigest()[:12] for job in range(1000)}
    assert len(handles) == 5
    assert not tried & set(handles)


class TestRedrive:
    """The ladder: each slice by its own jobs."""

    def slice(self, run: QueueRunner, number: int, previous: list[str], **more: Any) -> Json:
        return run("queue_redrive", number=number, previous=previous, **self.args, **more)

    @pytest.fixture(autouse=True)
    def _failed(self, redis: Valkey, version: int, run: QueueRunner) -> None:
        self.version = version
        redis.jobs(version, add(30, "bad"), OUTAGE)
        found = arguments(run, CASES["redrive"])
        self.args = {name: found[name] for name in ("signatures", "failed_before_ms")}

    def test_it_climbs_while_slices_are_good(self, redis: Valkey, run: QueueRunner) -> None:
        previous: list[str] = []
        sizes = []
        for number in range(1, 5):
            step = self.slice(run, number, previous)
            previous = step["diff"]["before"]["slice"]
            sizes.append(len(previous))
            redis.jobs(self.version, work())
            judged = run.read("queue_redriven", jobs=previous, timeout=0)
            assert (judged["good"], judged["failed"]) == (True, 0)
        assert sizes == [5, 10, 15, 0]
        assert (redis.count("completed"), redis.count("failed")) == (30, 0)

    def test_it_stops_when_its_own_jobs_fail_again(self, redis: Valkey, run: QueueRunner) -> None:
        step = self.slice(run, 1, [])
        jobs = step["diff"]["before"]["slice"]
        waiting = self.slice(run, 2, jobs)
        assert "are not done yet" in waiting["msg"]
        redis.jobs(self.version, OUTAGE)
        judged = run.read("queue_redriven", jobs=jobs, timeout=0)
        assert (judged["good"], judged["failed"], judged["total"]) == (False, 5, 5)
        again = self.slice(run, 2, jobs)
        assert again["outcome"] == "refused"
        assert "5 of the 5 jobs of the slice before failed again" in again["msg"]
        # The slice is as it was, and nothing else was sent.
        assert (redis.count("failed"), redis.count("wait")) == (30, 0)

    def test_it_stops_when_one_of_them_is_nowhere_any_more(self, redis: Valkey, run: QueueRunner) -> None:
        step = self.slice(run, 1, [])
        jobs = step["diff"]["before"]["slice"]
        redis.jobs(self.version, {"do": "remove", "id": redis.client.lindex("bull:notifications:wait", 0)}, work())
        again = self.slice(run, 2, jobs)
        assert again["outcome"] == "refused"
        assert "1 of the 5 jobs of the slice before are nowhere any more" in again["msg"]

    def test_failures_of_others_do_not_count(self, redis: Valkey, run: QueueRunner) -> None:
        step = self.slice(run, 1, [])
        jobs = step["diff"]["before"]["slice"]
        redis.jobs(self.version, work(), add(9, "other"), work(other=("GatewayError", "the gateway answered 503")))
        assert run.read("queue_redriven", jobs=jobs, timeout=0)["good"] is True
        assert self.slice(run, 2, jobs)["outcome"] == "ok"
