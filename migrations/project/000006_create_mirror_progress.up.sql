-- Whose mirror this is, and how many calls have written to it.
--
-- Why:   two projects given one database would mix their users. And a mirror restored from a backup,
--        or created again, has lost events: the control database knows of more calls, or of another epoch.
-- Locks: nothing of note, the tables are new.

CREATE TABLE capydb_auth.owner (
    singleton  boolean     NOT NULL DEFAULT true,
    project_id uuid        NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT owner_pkey PRIMARY KEY (singleton),
    CONSTRAINT owner_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.owner IS 'The project whose mirror this is: one row, or none while no project owns it.';
COMMENT ON COLUMN capydb_auth.owner.singleton IS 'Limits the table to one row.';
COMMENT ON COLUMN capydb_auth.owner.project_id IS 'The id of the project in the control database.';
COMMENT ON COLUMN capydb_auth.owner.since IS 'When the project became the owner.';

CREATE TABLE capydb_auth.mirror_progress (
    singleton  boolean NOT NULL DEFAULT true,
    epoch      uuid    NOT NULL DEFAULT gen_random_uuid(),
    applied_to bigint  NOT NULL DEFAULT 0,
    applied_at timestamptz,
    CONSTRAINT mirror_progress_pkey PRIMARY KEY (singleton),
    CONSTRAINT mirror_progress_singleton_check CHECK (singleton)
)
-- The row changes with each call, by one caller at a time: free space in its page keeps that cheap.
WITH (fillfactor = 10);

COMMENT ON TABLE capydb_auth.mirror_progress IS 'How many calls have written to the mirror. The control database keeps a copy, which shows whether the mirror went back in time.';
COMMENT ON COLUMN capydb_auth.mirror_progress.singleton IS 'Limits the table to one row.';
COMMENT ON COLUMN capydb_auth.mirror_progress.epoch IS 'Set when the mirror is created: a mirror created again has another.';
COMMENT ON COLUMN capydb_auth.mirror_progress.applied_to IS 'Grows by one with each call that applies events.';
COMMENT ON COLUMN capydb_auth.mirror_progress.applied_at IS 'When the last of these calls began; NULL: there was none.';

INSERT INTO capydb_auth.mirror_progress DEFAULT VALUES;
