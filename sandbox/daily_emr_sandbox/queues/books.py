"""What became of every job that was acknowledged: none may be lost, and none done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg

from .producer import BULLMQ

if TYPE_CHECKING:
    from ..world import World
    from .part import Queues

LISTS = ("wait", "active", "paused")
SETS = ("delayed", "prioritized", "waiting-children", "completed", "failed")
STATES = {"wait": "waiting", "paused": "waiting", "prioritized": "waiting"}
"""State of a job by the key that holds its id, where that is not its name."""
SENT = "SELECT business_key FROM deliveries WHERE queue = %s AND state = 'sent'"

Done = Callable[[psycopg.Connection[Any]], set[str]]


class Books:
    """Counts from three sides: the producer, the store and the database."""

    def __init__(self, world: World, queues: Queues) -> None:
        self._world, self._queues = world, queues
        self.done: dict[str, Done] = {}
        """How to ask the database for the business keys that are done, by queue; otherwise the deliveries tell."""

    def ledger(self) -> dict[str, dict[str, int]]:
        """Counts by queue, `lost` and `twice` among them. "lost" is in no state, nor in another queue, nor done."""
        refused = self._queues.producer.refused()
        acknowledged = self._queues.producer.acknowledged() | {"exports": dict(self._queues.exports.acknowledged)}
        found = {}
        for queue, jobs in acknowledged.items():
            states = self._states(queue) if queue in BULLMQ else self._messages()
            done = self._done(queue)
            counts = Counter(states.values())
            missing = {key for job, key in jobs.items() if job not in states and key not in done}
            if missing and queue in BULLMQ:
                missing -= self._elsewhere(queue)
            found[queue] = {
                "acknowledged": len(jobs),
                "refused": refused.get(queue, 0),
                **{state: counts[state] for state in ("waiting", "active", "delayed", "failed")},
                "done": len(done & set(jobs.values())),
                "lost": len(missing),
                "twice": self._queues.gateway.twice(queue),
            }
        return found

    def forget(self) -> None:
        """Begin anew."""
        self._queues.producer.forget()
        self._queues.exports.acknowledged.clear()
        self._queues.gateway.forget()
        with self._world.database.primary.connect() as session:
            session.execute("DELETE FROM deliveries")

    def elsewhere(self, queue: str) -> int:
        """How many jobs lie in queues that somebody made beside this one."""
        return len(self._elsewhere(queue))

    def _states(self, queue: str) -> dict[str, str]:
        """State of every job of a BullMQ queue, by id."""
        with self._queues.store.primary.connect() as session, session.pipeline() as pipe:
            for part in LISTS:
                pipe.lrange(f"bull:{queue}:{part}", 0, -1)
            for part in SETS:
                pipe.zrange(f"bull:{queue}:{part}", 0, -1)
            answers = pipe.execute()
        return {
            job.decode(): STATES.get(part, part)
            for part, ids in zip((*LISTS, *SETS), answers, strict=True)
            for job in ids
        }

    def _elsewhere(self, queue: str) -> set[str]:
        """Business keys of the jobs in queues that somebody made beside this one."""
        keys = set()
        with self._queues.store.primary.connect() as session:
            for name in session.scan_iter(f"bull:{queue}-*", count=1000, _type="HASH"):
                if data := session.hget(name, "data"):
                    keys.add(str(json.loads(data).get("key")))
        return keys

    def _messages(self) -> dict[str, str]:
        """State of every message of the exports, by id."""
        settings = self._world.settings
        with self._world.aws.mutex:
            backend = self._world.aws.backend("sqs")
            backend.get_queue_attributes(settings.exports_queue, ["QueueArn"])  # what is being moved has moved
            states = {message.id: "failed" for message in backend.get_queue(settings.exports_dead_letters)._messages}
            for message in backend.get_queue(settings.exports_queue)._messages:
                states[message.id] = "waiting" if message.visible else "active"
        return states

    def _done(self, queue: str) -> set[str]:
        database = self._world.database
        for node in (database.primary, database.standby):  # the standby while the primary is down
            try:
                with node.connect() as session:
                    if ask := self.done.get(queue):
                        return ask(session)
                    return {str(key) for (key,) in session.execute(SENT, (queue,)).fetchall()}
            except psycopg.OperationalError:
                continue
        return set()
