-- Where a feed goes on after its mirror had lost something, and what a clone makes of that.
--
-- Why:   the repair of a restored mirror makes lost changes once more, under new ids. Its clones have most of them, and tell by where
--        the new ids begin which these may be.
-- Locks: both tables for a moment; they have one row.

ALTER TABLE capydb_auth.mirror_progress
    ADD COLUMN resumed_from bigint NOT NULL DEFAULT 0;

ALTER TABLE capydb_auth.clone_progress
    ADD COLUMN source_resumed_from bigint NOT NULL DEFAULT 0,
    ADD COLUMN repeats_to bigint NOT NULL DEFAULT 0,
    ADD COLUMN rows_due boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN capydb_auth.mirror_progress.resumed_from IS 'The mirror has lost something: changes with greater ids were made since; 0: it never has.';
COMMENT ON COLUMN capydb_auth.clone_progress.source_resumed_from IS 'mirror_progress.resumed_from of the source, as far as the clone has seen to it.';
COMMENT ON COLUMN capydb_auth.clone_progress.repeats_to IS 'The newest change of this mirror when the source had lost something: up to it are those that the source may make once more; 0: there are none.';
COMMENT ON COLUMN capydb_auth.clone_progress.rows_due IS 'The source has lost something since its rows were copied: they are copied once more when it is repaired.';
