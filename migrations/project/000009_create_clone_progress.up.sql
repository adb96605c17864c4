-- Which mirror this one is a clone of, and how far it has read that mirror's change feed.
--
-- Why:   the changes of a source are copied exactly once if how far they are is committed with them.
-- Locks: nothing of note, the table is new.

CREATE TABLE capydb_auth.clone_progress (
    singleton    boolean     NOT NULL DEFAULT true,
    source_id    uuid        NOT NULL,
    source_epoch uuid        NOT NULL,
    change_id    bigint      NOT NULL,
    rows_from    bigint      NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT clone_progress_pkey PRIMARY KEY (singleton),
    CONSTRAINT clone_progress_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.clone_progress IS 'Which mirror this one is a clone of: one row, or none in a mirror that is no clone.';
COMMENT ON COLUMN capydb_auth.clone_progress.singleton IS 'Limits the table to one row.';
COMMENT ON COLUMN capydb_auth.clone_progress.source_id IS 'The project that is the source.';
COMMENT ON COLUMN capydb_auth.clone_progress.source_epoch IS 'mirror_progress.epoch of the source: of another one the ids of changes mean nothing.';
COMMENT ON COLUMN capydb_auth.clone_progress.change_id IS 'The id of the last change of the source that was copied.';
COMMENT ON COLUMN capydb_auth.clone_progress.rows_from IS 'The last change of the source before its rows were copied: rows that changed later are read again.';
COMMENT ON COLUMN capydb_auth.clone_progress.since IS 'When the mirror became a clone.';
