-- apply_events applies a batch of a provider's events to the mirror. It is the
-- one way into it: webhooks, backfill and repair all come through here.
--
-- Repeatable: the same events a second time change nothing.
-- Order:      any order of the same events ends in the same rows. Events about one
--             record are applied one after another as they stand in the batch, so that
--             outcomes and changes are those of applying them singly.
-- Result:     one row an event: its ordinal, and applied, stale or duplicate with the
--             reason; for an event that is kept out of the ledger also unchanged, if it
--             set nothing but what the row had; and deferred with the reason, without any
--             effect, if a lock of another transaction is in its way: call again later with it.
--             All other events of the call take effect or, on an error, none.
--
-- See the type event for what an event holds.
--
-- One caller at a time: the lock makes a second one wait, so that the ledger can
-- be read before it is written, two batches never wait for each other's rows, and
-- changes.id grows in the order of commit. A wait beyond lock_timeout, for that or for
-- whoever has locked a whole table, is US001: nothing is wrong with the events, try again.
--
-- Rows are waited for only a moment: see apply_rounds. A transaction of the customer's that holds
-- the row of a user holds up the events of that user, and no others: see apply_around_locks. The same
-- way is taken if another transaction has changed rows since they were read: ensure_user has made the row of
-- a new user (unique_violation), or somebody has updated one (US002). The second look finds what is there
-- now; a trigger that suppresses rows is US002 once more.
--
-- It notifies nobody: PostgreSQL lets transactions that notify commit one after another, over all databases
-- of a server, and each of them waits for the disk meanwhile. The caller notifies after the commit.
CREATE OR REPLACE FUNCTION capydb_auth.apply_events(
    p_events capydb_auth.event[]
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
#variable_conflict use_column
DECLARE
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    BEGIN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_rounds(p_events) AS r;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure OR unique_violation OR SQLSTATE 'US002' THEN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_around_locks(p_events) AS r;
    END;

    RETURN QUERY
    SELECT r.ordinal, r.outcome, r.reason
    FROM unnest(v_ordinals, v_outcomes, v_reasons) AS r (ordinal, outcome, reason);
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_events(capydb_auth.event[])
    IS 'Applies a batch of a provider''s events to the mirror, each exactly once, in any order.';
