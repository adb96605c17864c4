-- Notes how many calls have written to the mirror.
--
-- Why:   a mirror that was restored from a backup, or made anew, has lost what was applied since;
--        the control database knows of more calls then, or of another epoch.
-- Locks: none that matter, the table is new.

CREATE TABLE capydb_auth.mirror_progress (
    singleton  boolean     NOT NULL DEFAULT true,
    epoch      uuid        NOT NULL DEFAULT gen_random_uuid(),
    applied_to bigint      NOT NULL DEFAULT 0,
    applied_at timestamptz,
    CONSTRAINT mirror_progress_pkey PRIMARY KEY (singleton),
    CONSTRAINT mirror_progress_singleton_check CHECK (singleton)
)
-- The row changes with each call, by one caller at a time: room in its page keeps that cheap.
WITH (fillfactor = 10);

COMMENT ON TABLE capydb_auth.mirror_progress
    IS 'How many calls have written to the mirror. The control database keeps a copy, which shows whether the mirror went back.';
COMMENT ON COLUMN capydb_auth.mirror_progress.singleton IS 'Lets there be one row.';
COMMENT ON COLUMN capydb_auth.mirror_progress.epoch IS 'Made with the mirror: one that was made anew has another.';
COMMENT ON COLUMN capydb_auth.mirror_progress.applied_to IS 'Grows by one with each call that applies events.';
COMMENT ON COLUMN capydb_auth.mirror_progress.applied_at IS 'When the last of these calls began; NULL: there was none.';

INSERT INTO capydb_auth.mirror_progress DEFAULT VALUES;
