-- How often an integration is reconciled whose options do not say it.
--
-- Why:   which credentials allow reading users is known only when they are stored,
--        for they are sealed; the schedule is computed in SQL.
-- Locks: integrations, exclusively, for a moment: no row is read or written.

ALTER TABLE authsync.integrations
    ADD COLUMN reconcile_default text;

COMMENT ON COLUMN authsync.integrations.reconcile_default
    IS 'How often a reconcile starts by itself unless option reconcile.every says it; NULL where the credentials allow no reading.';
