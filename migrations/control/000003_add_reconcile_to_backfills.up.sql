-- What a reconcile needs beside what a backfill has: its phase, and the drift it found.
--
-- Why:   a reconcile is a walk like a backfill, and then asks about those users
--        that the walk could not decide on.
-- Locks: backfills, exclusively, for a moment: no row is read or written.

ALTER TABLE authsync.sync_runs
    ADD COLUMN phase text NOT NULL DEFAULT 'walk',
    ADD COLUMN drift jsonb;

-- Runs are few: checking them takes no time.
ALTER TABLE authsync.sync_runs
    -- squawk-ignore constraint-missing-not-valid
    ADD CONSTRAINT sync_runs_phase_check CHECK (phase IN ('walk', 'orphaned', 'confirm'));

COMMENT ON COLUMN authsync.sync_runs.phase
    IS 'walk: reads all users. Of a reconcile then orphaned: looks for users that the walk did not meet; confirm: asks about single users.';
COMMENT ON COLUMN authsync.sync_runs.drift IS 'What a reconcile found: how many users were missing, differed (by column) or were orphaned, and what became of them.';
