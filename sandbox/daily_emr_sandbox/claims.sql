-- Claims of the facilities: the outbox of the application and the states of a claim. Every row is synthetic.
--
-- The table holds what a claim says and is closed to the runbooks. They reconcile and send again through the functions
-- in ops, which count claims, name them by number and identifier, and never show what is in one.

CREATE TABLE claims (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payer text NOT NULL,
    facility text NOT NULL,
    encounter text NOT NULL,
    claim_type text NOT NULL CHECK (claim_type IN ('preauthorization', 'claim')),
    version integer NOT NULL DEFAULT 1,
    -- The business key: known before the first byte is sent, and the only name that the payer is asked by.
    identifier text NOT NULL UNIQUE,
    class text NOT NULL CHECK (class IN ('preauth', 'inpatient', 'rest')),
    deadline timestamptz NOT NULL,
    content jsonb NOT NULL,
    state text NOT NULL DEFAULT 'ready'
        CHECK (state IN ('draft', 'ready', 'sending', 'acked', 'rejected', 'unknown', 'deferred')),
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,
    -- When its first byte may have gone out; NULL again when it is proven that the payer has nothing of it.
    sent_at timestamptz,
    outcome text,
    -- How many of it the payer has, by the payer's own word.
    copies integer NOT NULL DEFAULT 1,
    response text CHECK (response ~ '^[A-Za-z0-9.-]{1,64}$'),
    queued_at timestamptz,
    -- Of the redrive that let it go; NULL for one that was sent as usual.
    step text
);
CREATE INDEX claims_open ON claims (state) WHERE state NOT IN ('acked', 'rejected');

-- What each try came to: a class of answer, never the answer.
CREATE TABLE claim_attempts (
    claim bigint NOT NULL,
    claim_type text NOT NULL,
    step text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL,
    ms integer NOT NULL
);
CREATE INDEX claim_attempts_at ON claim_attempts (at);

-- Who moved which claim: says whether a runbook that only looked changed anything.
CREATE TABLE claim_moves (
    claim bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL DEFAULT session_user,
    before text NOT NULL,
    after text NOT NULL
);

CREATE INDEX claim_moves_claim ON claim_moves (claim);

CREATE TABLE claim_steps (
    step text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    released integer NOT NULL
);

-- The pace of a redrive, shared by all workers: a limit of each process is none with ten of them.
CREATE TABLE claim_pace (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    per_second double precision NOT NULL CHECK (per_second > 0),
    next_at timestamptz NOT NULL
);
INSERT INTO claim_pace VALUES (true, 1, clock_timestamp());

CREATE FUNCTION claim_identified() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.identifier := encode(sha256(convert_to(
        concat_ws('|', NEW.payer, NEW.facility, NEW.encounter, NEW.claim_type, NEW.version), 'UTF8')), 'hex');
    RETURN NEW;
END
$$;
CREATE TRIGGER identified BEFORE INSERT ON claims FOR EACH ROW EXECUTE FUNCTION claim_identified();

-- An unknown claim is never ready again by itself: somebody asked the payer first, whoever wants to write otherwise.
CREATE FUNCTION claim_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state || '>' || NEW.state) NOT IN (
        'draft>ready', 'draft>deferred', 'ready>sending', 'ready>deferred', 'deferred>ready',
        'sending>acked', 'sending>rejected', 'sending>unknown', 'sending>ready', 'sending>deferred',
        'unknown>acked', 'unknown>rejected', 'unknown>deferred'
    ) THEN
        RAISE EXCEPTION 'A claim does not go from % to %.', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    NEW.since := clock_timestamp();
    NEW.sent_at := CASE
        WHEN NEW.state = 'sending' THEN NEW.since
        WHEN NEW.state IN ('ready', 'deferred') THEN NULL
        ELSE OLD.sent_at
    END;
    INSERT INTO claim_moves (claim, before, after) VALUES (OLD.id, OLD.state, NEW.state);
    RETURN NEW;
END
$$;
CREATE TRIGGER moved BEFORE UPDATE OF state ON claims FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION claim_moved();

-- What the runbooks may ask.

CREATE FUNCTION ops.claims_summary(due_within interval DEFAULT '24 hours')
RETURNS TABLE (state text, class text, claims bigint, oldest_at timestamptz, due bigint, overdue bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.state, c.class, count(*), min(c.since),
        count(*) FILTER (WHERE c.deadline BETWEEN now() AND now() + due_within),
        count(*) FILTER (WHERE c.deadline < now())
    FROM claims c GROUP BY c.state, c.class
$$;

CREATE FUNCTION ops.claims_outcomes(newer_than interval DEFAULT '5 minutes')
RETURNS TABLE (claim_type text, outcome text, calls bigint, p95_ms integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.claim_type, a.outcome, count(*), percentile_disc(0.95) WITHIN GROUP (ORDER BY a.ms)
    FROM claim_attempts a WHERE a.at > clock_timestamp() - newer_than
    GROUP BY a.claim_type, a.outcome
$$;

-- The reconciliation. What was sent is counted by the mark of its first byte, not by the states that it must add up to.
CREATE FUNCTION ops.claims_totals()
RETURNS TABLE (sent bigint, accepted bigint, rejected bigint, unknown bigint, unsent bigint, duplicates bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(c.sent_at),
        count(*) FILTER (WHERE c.state = 'acked'),
        count(*) FILTER (WHERE c.state = 'rejected'),
        count(*) FILTER (WHERE c.state IN ('unknown', 'sending')),
        count(*) FILTER (WHERE c.state IN ('draft', 'ready', 'deferred')),
        count(*) FILTER (WHERE c.copies > 1)
    FROM claims c
$$;

-- Unknown ones, and those that a worker left when it died. What is younger may still be under way.
CREATE FUNCTION ops.claims_in_doubt(at_most integer DEFAULT 100, older_than interval DEFAULT '60 seconds')
RETURNS TABLE (claim bigint, identifier text, state text, since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.id, c.identifier, c.state, c.since
    FROM claims c WHERE c.state IN ('unknown', 'sending') AND c.since < clock_timestamp() - older_than
    ORDER BY c.since, c.id LIMIT at_most
$$;

-- What the tries of the steps of redrives came to.
CREATE FUNCTION ops.claims_redriven(newer_than interval)
RETURNS TABLE (step text, outcome text, calls bigint, last_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.step, a.outcome, count(*), max(a.at)
    FROM claim_attempts a WHERE a.step IS NOT NULL AND a.at > clock_timestamp() - newer_than
    GROUP BY a.step, a.outcome
$$;

CREATE FUNCTION ops.claims_step(step text)
RETURNS TABLE (state text, outcome text, claims bigint, p95_ms integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.state, c.outcome, count(*), percentile_disc(0.95) WITHIN GROUP (ORDER BY a.ms)
    FROM claims c
    LEFT JOIN LATERAL (
        SELECT ms FROM claim_attempts WHERE claim = c.id AND step = c.step ORDER BY at DESC LIMIT 1
    ) a ON true
    WHERE c.step = claims_step.step GROUP BY c.state, c.outcome
$$;

-- What they may do. Each is one step, and the same call again does nothing.

-- A payer that has nothing of a claim just now may take it a moment later: only of an old one its absence counts.
CREATE FUNCTION ops.claim_settle(
    claim bigint, since timestamptz, answer text, response text DEFAULT NULL, copies integer DEFAULT 1,
    older_than interval DEFAULT '120 seconds'
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    has text;
BEGIN
    IF answer IS NULL OR answer NOT IN ('acked', 'rejected', 'absent') OR (answer = 'acked' AND response IS NULL) THEN
        RAISE EXCEPTION 'A claim is settled as acked with a response, as rejected or as absent.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One that is absent at the payer waits for the redrive, which knows how fast it may be sent.
    UPDATE claims c
    SET state = CASE answer WHEN 'absent' THEN 'deferred' ELSE answer END,
        response = claim_settle.response, copies = greatest(claim_settle.copies, 1), outcome = 'reconciled'
    WHERE c.id = claim AND c.since = claim_settle.since AND c.state IN ('unknown', 'sending')
        AND (answer <> 'absent' OR c.since < clock_timestamp() - older_than);
    SELECT c.state INTO has FROM claims c WHERE c.id = claim;
    RETURN has;
END
$$;

CREATE FUNCTION ops.claims_defer(at_most integer)
RETURNS integer LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH chosen AS (
        SELECT id FROM claims WHERE state = 'ready' ORDER BY id LIMIT at_most FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE claims SET state = 'deferred', step = NULL FROM chosen WHERE claims.id = chosen.id RETURNING 1
    )
    SELECT count(*)::integer FROM moved
$$;

CREATE FUNCTION ops.claims_release(step text, at_most integer, per_second double precision)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    moved integer;
BEGIN
    LOCK TABLE claim_steps IN SHARE ROW EXCLUSIVE MODE;
    SELECT s.released INTO moved FROM claim_steps s WHERE s.step = claims_release.step;
    IF FOUND THEN
        RETURN moved;
    END IF;
    IF EXISTS (
        SELECT FROM claims WHERE state = 'unknown'
        OR (state = 'sending' AND since < clock_timestamp() - interval '60 seconds')
    ) THEN
        RAISE EXCEPTION 'Claims are in doubt: ask the payer for each of them before anything is sent again.'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE claim_pace SET per_second = claims_release.per_second;
    UPDATE claims SET state = 'ready', step = claims_release.step, outcome = NULL, queued_at = NULL
    WHERE id IN (
        SELECT id FROM claims WHERE state = 'deferred'
        ORDER BY array_position(ARRAY['preauth', 'inpatient', 'rest'], class), deadline, id
        LIMIT at_most FOR UPDATE
    );
    GET DIAGNOSTICS moved = ROW_COUNT;
    INSERT INTO claim_steps (step, released) VALUES (claims_release.step, moved);
    RETURN moved;
END
$$;

-- Its tables and functions are the application's; the runbooks get the functions in ops and nothing else.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['claims', 'claim_attempts', 'claim_moves', 'claim_steps', 'claim_pace'] LOOP
        EXECUTE format('ALTER TABLE %I OWNER TO emr_application', name);
    END LOOP;
    FOR name IN SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'claim%' AND pronamespace = 'ops'::regnamespace
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO emr_application', name);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO emr_runbook', name);
    END LOOP;
END
$$;
