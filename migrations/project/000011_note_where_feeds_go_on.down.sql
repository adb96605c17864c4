-- What the repair of a source makes once more is new to its clones again.
ALTER TABLE capydb_auth.clone_progress
    DROP COLUMN source_resumed_from,
    DROP COLUMN repeats_to,
    DROP COLUMN rows_due;

ALTER TABLE capydb_auth.mirror_progress
    DROP COLUMN resumed_from;
