-- reconciles shows what each reconcile has found and done, newest first. The numbers
-- are NULL until it has read all users; see backfill_progress for how far it is.
CREATE OR REPLACE VIEW authsync.reconciles AS
SELECT
    b.id AS run_id,
    p.id AS project_id,
    p.name AS project,
    b.provider,
    b.state,
    b.phase,
    coalesce((b.options ->> 'dry_run')::boolean, false) AS dry_run,
    (b.drift ->> 'missing')::bigint      AS missing,
    (b.drift ->> 'differing')::bigint    AS differing,
    (b.drift ->> 'deleted_here')::bigint AS deleted_here,
    (b.drift ->> 'surplus')::bigint      AS surplus,
    (b.drift ->> 'placeholders')::bigint AS placeholders,
    (b.drift ->> 'repaired')::bigint     AS repaired,
    (b.drift ->> 'failed')::bigint       AS failed,
    (b.drift ->> 'left')::bigint         AS left_as_is,
    b.drift ->> 'held_back'              AS held_back,
    b.drift -> 'columns'                 AS columns,
    b.error,
    b.started_at,
    b.finished_at
FROM authsync.backfills AS b
JOIN authsync.projects AS p ON p.id = b.project_id
WHERE b.kind = 'reconcile'
ORDER BY b.started_at DESC;

COMMENT ON VIEW authsync.reconciles IS 'What each reconcile has found and done, newest first.';
COMMENT ON COLUMN authsync.reconciles.missing IS 'Users whom the mirror did not have.';
COMMENT ON COLUMN authsync.reconciles.deleted_here IS 'Users deleted in the mirror whom the provider has.';
COMMENT ON COLUMN authsync.reconciles.surplus IS 'Users of the mirror whom the provider does not have.';
COMMENT ON COLUMN authsync.reconciles.placeholders IS 'Rows of ensure_user whose id the provider does not know.';
COMMENT ON COLUMN authsync.reconciles.left_as_is IS 'Users who differ and were left so: of a dry run all, else those that held_back is about.';
COMMENT ON COLUMN authsync.reconciles.held_back IS 'Why surplus users were not deleted.';
COMMENT ON COLUMN authsync.reconciles.columns IS 'How many users differed in which column.';
