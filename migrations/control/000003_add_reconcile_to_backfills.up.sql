-- What a reconcile needs beside what a backfill has: its phase, and the drift it found.
--
-- Why:   a reconcile is a walk like a backfill, and then asks about those users
--        that the walk could not decide on.
-- Locks: backfills, exclusively, for a moment: no row is read or written.

ALTER TABLE authsync.backfills
    ADD COLUMN phase text NOT NULL DEFAULT 'walk',
    ADD COLUMN drift jsonb;

-- Runs are few: checking them takes no time.
ALTER TABLE authsync.backfills
    -- squawk-ignore constraint-missing-not-valid
    ADD CONSTRAINT backfills_phase_check CHECK (phase IN ('walk', 'surplus', 'confirm'));

COMMENT ON COLUMN authsync.backfills.phase
    IS 'walk: reads all users. Of a reconcile then surplus: looks for users that the walk did not meet; confirm: asks about single users.';
COMMENT ON COLUMN authsync.backfills.drift IS 'What a reconcile found: how many users were missing, differed (by column) or were surplus, and what became of them.';
