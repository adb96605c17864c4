-- Takes the phase and the drift of reconciles away.
ALTER TABLE authsync.sync_runs
    DROP COLUMN drift,
    DROP COLUMN phase;
