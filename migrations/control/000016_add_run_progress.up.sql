-- When a run last made progress.
--
-- Why:   each attempt of a run changes updated_at, also one that a provider refuses: a run that a rate limit stops for hours, asked
--        every five minutes, looked as if it had been at work a moment ago.
-- Locks: the table for a moment; the default is a constant.

ALTER TABLE authsync.sync_runs ADD COLUMN progressed_at timestamptz NOT NULL DEFAULT now();

COMMENT ON COLUMN authsync.sync_runs.progressed_at IS 'When its last page was committed, other than one that only says to wait; before the first, when it was started.';
