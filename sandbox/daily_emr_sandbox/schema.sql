-- Database of the EMR stand-in, schema version 13. Every row is synthetic.

CREATE SCHEMA ops;
CREATE TABLE ops.schema_version (version integer NOT NULL);
INSERT INTO ops.schema_version VALUES (13);
CREATE TABLE ops.heartbeat (
    id integer PRIMARY KEY,
    at timestamptz NOT NULL,
    node inet
);

CREATE TABLE charts (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
    tenant text NOT NULL,
    note text NOT NULL,
    idempotency_key text NOT NULL UNIQUE,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO charts (id, tenant, note, idempotency_key)
SELECT 'synthetic-' || number, 'synthetic', 'synthetic note ' || number, 'seed-' || number
FROM generate_series(1, 200) AS number;
INSERT INTO charts (id, tenant, note, idempotency_key) VALUES ('probe', 'synthetic', 'synthetic note', 'seed-probe');

CREATE TABLE facilities (tenant text PRIMARY KEY, settings jsonb NOT NULL);
INSERT INTO facilities SELECT 'facility-' || number, '{"timezone": "Africa/Nairobi"}' FROM generate_series(1, 8) AS number;
CREATE TABLE appointments (tenant text NOT NULL, starts_at timestamptz NOT NULL);
INSERT INTO appointments SELECT 'facility-' || number, now() FROM generate_series(1, 8) AS number;
CREATE TABLE reports (month date PRIMARY KEY, visits integer NOT NULL, days integer NOT NULL);
INSERT INTO reports VALUES ('2026-09-01', 6120, 22), ('2026-10-01', 6340, 21);

-- What workers of the queues did: the row of a business key decides, because a queue may deliver a job again.
CREATE TABLE deliveries (
    business_key text PRIMARY KEY,
    queue text NOT NULL,
    job_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('sending', 'sent')),
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz
);

-- Gets its name and its password from the secret DATABASE_URL at each start.
CREATE ROLE emr_application;
GRANT USAGE ON SCHEMA ops TO emr_application;
GRANT SELECT ON ops.schema_version TO emr_application;
-- Its migrations change the tables, so they are its own.
ALTER TABLE charts OWNER TO emr_application;
ALTER TABLE deliveries OWNER TO emr_application;

-- The role of the nightly dump: it reads everything and changes nothing. It gets its password at each start.
CREATE ROLE emr_backup;
GRANT pg_read_all_data, pg_monitor TO emr_backup;

-- The role of the runbooks: it looks after sessions and slots, writes the heartbeat, and reads no chart. It gets its
-- password at each start. REPLICATION is what rds_replication gives on RDS: it may drop a slot.
CREATE ROLE emr_runbook REPLICATION;
GRANT pg_monitor, pg_signal_backend, pg_use_reserved_connections TO emr_runbook;
GRANT USAGE ON SCHEMA ops TO emr_runbook;
GRANT SELECT, INSERT, UPDATE ON ops.heartbeat TO emr_runbook;
GRANT SELECT ON facilities, appointments, reports TO emr_application;

-- Fences the application: it logs in no more, or again. A function, because the runbooks' role may alter no role.
CREATE FUNCTION ops.fence_application(role_name name, closed boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name AND NOT rolsuper AND NOT rolreplication) THEN
        RAISE EXCEPTION 'not a role of the application';
    END IF;
    EXECUTE format('ALTER ROLE %I %s', role_name, CASE WHEN closed THEN 'NOLOGIN' ELSE 'LOGIN' END);
    RETURN closed;
END $$;
REVOKE ALL ON FUNCTION ops.fence_application(name, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.fence_application(name, boolean) TO emr_runbook;
