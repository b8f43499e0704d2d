# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what is asked of the database. May change without notice.

"""Fixed statements, tried on PostgreSQL 15 and 18: states, counts, sizes and ages, never the text of a statement.

Numbers as in the incident domain, A2.3. They need pg_monitor, else the states of other sessions are NULL. Sessions of
the runbooks themselves do not count. Nothing is put into them, so that all of them can be sent in one round trip.
"""

from __future__ import annotations

QUERIES = {
    # Q1: the role of the node, and which of the two it is. Whether it takes writes W1 tells: this session does not.
    "node": """
SELECT pg_is_in_recovery() AS in_recovery, host(inet_server_addr()) AS address, inet_server_port() AS port,
       pg_postmaster_start_time() AS started, current_setting('server_version') AS version""",
    # Who is given only read-only transactions unless it asks for others: a soft switch that somebody may have left on.
    "read_only_roles": """
SELECT coalesce(r.rolname, '') AS role FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND 'default_transaction_read_only=on' = ANY (s.setconfig)""",
    # Q2
    "sessions": """
SELECT coalesce(state, '(none)') AS state, wait_event_type, wait_event, usename AS role, count(*) AS n,
       max(extract(epoch FROM now() - state_change))::float8 AS oldest_state_s,
       max(extract(epoch FROM now() - xact_start))::float8 AS oldest_transaction_s
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'daily_emr_runbook'
GROUP BY 1, 2, 3, 4 ORDER BY n DESC""",
    # Which statement the sessions work on, as its number.
    "busy": """
SELECT query_id::text AS statement, count(*) AS n FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'daily_emr_runbook' AND state = 'active'
  AND query_id IS NOT NULL AND wait_event_type IS DISTINCT FROM 'Lock'
GROUP BY 1 ORDER BY n DESC LIMIT 1""",
    # Q3
    "connections": """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
       current_setting('max_connections')::int AS maximum,
       current_setting('superuser_reserved_connections')::int AS reserved""",
    # Q4: root blockers with the number of their victims, direct and transitive. UNION ends on deadlocks, too.
    "blockers": """
WITH RECURSIVE w AS (SELECT pid AS victim, unnest(pg_blocking_pids(pid)) AS blocker FROM pg_stat_activity
                     WHERE cardinality(pg_blocking_pids(pid)) > 0),
 t(victim, root) AS (SELECT victim, blocker FROM w UNION SELECT t.victim, w.blocker FROM t JOIN w ON w.victim = t.root)
SELECT a.pid, a.backend_start, a.usename AS role,
       coalesce(a.state, '(none)') AS state, extract(epoch FROM now() - a.state_change)::float8 AS state_s,
       extract(epoch FROM now() - a.xact_start)::float8 AS transaction_s,
       count(DISTINCT t.victim) AS victims
FROM t JOIN pg_stat_activity a ON a.pid = t.root WHERE t.root NOT IN (SELECT victim FROM w)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY victims DESC, a.pid""",
    # The victims: what each wants, for how long it has waited, and for whom.
    "victims": """
SELECT a.pid, a.backend_start, a.usename AS role,
       coalesce(a.state, '(none)') AS state, l.mode AS wanted,
       coalesce(extract(epoch FROM now() - l.waitstart), 0)::float8 AS waited_s,
       pg_blocking_pids(a.pid) AS blockers
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted ORDER BY waited_s DESC, a.pid""",
    # Q5: read replicas. The standby of a Multi-AZ instance does not appear here, because it is one of storage.
    "replicas": """
SELECT count(*) AS replicas, count(*) FILTER (WHERE state = 'streaming') AS streaming,
       max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                           replay_lsn))::float8 AS replay_bytes,
       max(extract(epoch FROM replay_lag))::float8 AS replay_lag_s
FROM pg_stat_replication""",
    # Q6
    "slots": """
SELECT slot_name AS name, slot_type AS type, active, coalesce(wal_status, '') AS wal_status,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::float8 AS retained_bytes
FROM pg_replication_slots ORDER BY retained_bytes DESC NULLS LAST, name""",
    # Q7, and the damage that checksums have shown.
    "ages": """
SELECT max(age(d.datfrozenxid))::bigint AS transaction_ids, sum(s.deadlocks)::bigint AS deadlocks,
       sum(s.temp_bytes)::bigint AS temp_bytes, coalesce(sum(s.checksum_failures), 0)::bigint AS checksum_failures
FROM pg_stat_database s JOIN pg_database d USING (datname)""",
    # Q8
    "bloat": """
SELECT count(*) AS tables, coalesce(sum(n_live_tup), 0)::bigint AS live_rows,
       coalesce(sum(n_dead_tup), 0)::bigint AS dead_rows, coalesce(max(n_dead_tup), 0)::bigint AS most_dead_rows,
       extract(epoch FROM now() - max(last_autovacuum))::float8 AS vacuumed_s
FROM pg_stat_user_tables""",
    # Q9: what lengthens a crash recovery or a rollback.
    "transactions": """
SELECT count(*) FILTER (WHERE backend_xid IS NOT NULL) AS writing,
       coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 AS longest_s,
       coalesce(max(extract(epoch FROM now() - xact_start)) FILTER (WHERE backend_xid IS NOT NULL),
                0)::float8 AS longest_writing_s
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'daily_emr_runbook'
  AND xact_start IS NOT NULL""",
    # Whether Q10 can be asked.
    "migrations_kept": "SELECT to_regclass('public._prisma_migrations') IS NOT NULL AS kept",
    # Q11: only a replica replays.
    "replay": "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS lag_s",
    # Q12: they hold their locks, and survive a failover.
    "prepared": "SELECT count(*) AS prepared FROM pg_prepared_xacts",
}

# Q10
FAILED_MIGRATIONS = (
    "SELECT count(*) AS failed FROM public._prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL"
)

ROUND_TRIP = "SELECT 1"

# W1: one row of a schema that is the runbooks' own.
WRITE = """
INSERT INTO ops.heartbeat (id, at, node) VALUES (1, now(), inet_server_addr())
ON CONFLICT (id) DO UPDATE SET at = excluded.at, node = excluded.node"""
# The same without leaving anything, in one round trip. What it does not tell is whether a commit is acknowledged.
WRITE_AND_ROLL_BACK = ";".join(("BEGIN", WRITE, "ROLLBACK"))
