-- An append-only log of every visible effect, written by triggers: no process under test can forget to.
-- "writer" is the process behind the connection, as its application name tells it.
CREATE SCHEMA faults;

CREATE TABLE faults.moves (
    id bigserial PRIMARY KEY,
    what text NOT NULL,              -- job, unit or item
    job_id uuid NOT NULL,
    unit_id bigint,
    pos int,
    old text NOT NULL,
    new text NOT NULL,
    claim_id uuid,                   -- that held the unit, or that takes it
    lease_live boolean,              -- at this moment
    late boolean,                    -- the lease had run out before this transaction began
    writer text NOT NULL DEFAULT current_setting('application_name'),
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE faults.effects (
    id bigserial PRIMARY KEY,
    content_hash bytea NOT NULL,
    model_id int NOT NULL,
    writer text NOT NULL DEFAULT current_setting('application_name'),
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION faults.log_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.moves (what, job_id, old, new) VALUES ('job', NEW.id, OLD.state, NEW.state);
    RETURN NULL;
END $$;

CREATE FUNCTION faults.log_unit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.moves (what, job_id, unit_id, old, new, claim_id, lease_live, late)
    VALUES ('unit', NEW.job_id, NEW.id, OLD.state, NEW.state, coalesce(OLD.claim_id, NEW.claim_id),
            coalesce(OLD.lease_until > clock_timestamp(), false),
            coalesce(OLD.lease_until < transaction_timestamp(), false));
    RETURN NULL;
END $$;

CREATE FUNCTION faults.log_item() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unit public.job_units%ROWTYPE;
BEGIN
    SELECT * INTO unit FROM public.job_units WHERE id = NEW.unit_id;
    INSERT INTO faults.moves (what, job_id, unit_id, pos, old, new, claim_id, lease_live, late)
    VALUES ('item', NEW.job_id, NEW.unit_id, NEW.pos, OLD.state, NEW.state, unit.claim_id,
            coalesce(unit.lease_until > clock_timestamp(), false),
            coalesce(unit.lease_until < transaction_timestamp(), false));
    RETURN NULL;
END $$;

CREATE FUNCTION faults.log_effect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO faults.effects (content_hash, model_id) VALUES (NEW.content_hash, NEW.model_id);
    RETURN NULL;
END $$;

CREATE TRIGGER log_job AFTER UPDATE OF state ON jobs FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION faults.log_job();
-- also what is written while it runs; to cut a lease short is what the parent of a dead holder does
CREATE TRIGGER log_unit AFTER UPDATE ON job_units FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.state = 'running' AND (
        NEW.lease_until > OLD.lease_until
        OR (OLD.claim_id, OLD.done, OLD.failed, OLD.skipped, OLD.payload, OLD.timings)
            IS DISTINCT FROM (NEW.claim_id, NEW.done, NEW.failed, NEW.skipped, NEW.payload, NEW.timings)))
    EXECUTE FUNCTION faults.log_unit();
-- also when an outcome is written over an equal one
CREATE TRIGGER log_item AFTER UPDATE OF state ON job_items FOR EACH ROW EXECUTE FUNCTION faults.log_item();
CREATE TRIGGER log_effect AFTER INSERT OR UPDATE ON predictions FOR EACH ROW
    EXECUTE FUNCTION faults.log_effect();
