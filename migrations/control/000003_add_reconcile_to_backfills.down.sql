-- Takes the phase and the drift of reconciles away.
ALTER TABLE authsync.backfills
    DROP COLUMN drift,
    DROP COLUMN phase;
