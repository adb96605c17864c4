-- apply_events applies a batch of a provider's events to the mirror. It is the
-- one way into it: webhooks, backfill and repair all come through here.
--
-- Repeatable: the same events a second time change nothing.
-- Order:      any order of the same events ends in the same users. Events about one
--             user are applied one after another as they stand in the batch, so that
--             outcomes and user_changes are those of applying them singly.
-- Result:     one row an event: its ordinal, and applied, stale or duplicate with the
--             reason; for an event that is kept out of the ledger also unchanged, if it
--             said nothing but what the row had; and deferred with the reason, without any
--             effect, if a lock of another transaction is in its way: call again later with it.
--             All other events of the call take effect or, on an error, none. If users changed,
--             whoever listens to channel capydb_auth_changes hears the greatest new id of
--             user_changes after the commit.
--
-- p_events is an array of objects:
--   ordinal        integer, names the event in the result
--   provider       text
--   event_id       text, the same on every repetition
--   id_is_digest   boolean, the id is the digest of a body and holds for ten minutes
--   user_id        text
--   in_ledger      boolean, absent = true; false for what no delivery brought but authsync
--                  read itself: the ledger is neither asked nor written. Such an event may
--                  share its id with others
--   inbox_id, inbox_ordinal, received_at: the delivery that brought it
--   at             clock of says and raw; absent for a deletion without a profile
--   deleted_clock  clock of a deletion; absent for everything else
--   at_is_receipt, deleted_clock_is_receipt: there if it is the time of receipt, because
--                  the sender gave no clock; absent otherwise
--   arrived_at     when it was received, its place in the delivery included; absent
--                  where all its clocks are the sender's and none is ahead of that
--   sent_at        breaks ties of the clocks
--   says           object: column of users -> text or null; absent = says nothing of it
--   last_sign_in_at_is_least: there if the last sign-in may have been later than is said; absent
--                  otherwise. It then never goes back, whatever the clocks are
--   raw            the user object; absent = says nothing of it
--
-- One caller at a time: the lock makes a second one wait, so that the ledger can
-- be asked before it is written, two batches never wait for each other's rows, and
-- user_changes.id grows in the order of commit. A wait beyond lock_timeout, for that or for
-- whoever has locked a whole table, is US001: nothing is wrong with the events, try again.
--
-- Rows are waited for only a moment: see apply_rounds. A transaction of the customer's that holds
-- the row of a user holds up the events of that user, and no others: see apply_around_locks.
--
-- One notification a call, not one a change: PostgreSQL lets transactions that notify commit
-- one after another, and a batch may hold thousands of changes.
--
CREATE OR REPLACE FUNCTION capydb_auth.apply_events(
    p_events jsonb
)
RETURNS TABLE (ordinal integer, outcome text, reason text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
#variable_conflict use_column
DECLARE
    v_before   bigint;
    v_last     bigint;
    v_ordinals integer[];
    v_outcomes text[];
    v_reasons  text[];
BEGIN
    PERFORM capydb_auth.lock_mirror();

    v_before := capydb_auth.change_cursor(NULL);

    BEGIN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_rounds(p_events) AS r;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        SELECT array_agg(r.ordinal), array_agg(r.outcome), array_agg(r.reason)
        INTO v_ordinals, v_outcomes, v_reasons
        FROM capydb_auth.apply_around_locks(p_events) AS r;
    END;

    v_last := capydb_auth.change_cursor(NULL);
    IF v_last > v_before THEN
        PERFORM pg_notify('capydb_auth_changes', v_last::text);
    END IF;

    RETURN QUERY
    SELECT r.ordinal, r.outcome, r.reason
    FROM unnest(v_ordinals, v_outcomes, v_reasons) AS r (ordinal, outcome, reason);
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.apply_events(jsonb)
    IS 'Applies a batch of a provider''s events to the mirror, each exactly once, in any order.';
