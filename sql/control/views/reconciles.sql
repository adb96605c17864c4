-- reconciles shows what each reconcile has found and done, newest first. The numbers
-- are NULL until it has read everything; see sync_run_progress for how far it is.
CREATE OR REPLACE VIEW authsync.reconciles AS
SELECT
    b.id AS run_id,
    p.id AS project_id,
    p.name AS project,
    b.provider,
    b.state,
    b.phase,
    coalesce((b.options ->> 'dry_run')::boolean, false) AS dry_run,
    (d.drift ->> 'missing')::bigint      AS missing,
    (d.drift ->> 'differing')::bigint    AS differing,
    (d.drift ->> 'deleted_here')::bigint AS deleted_here,
    (d.drift ->> 'orphaned')::bigint      AS orphaned,
    (d.drift ->> 'placeholders')::bigint AS placeholders,
    (d.drift ->> 'repaired')::bigint     AS repaired,
    (d.drift ->> 'failed')::bigint       AS failed,
    (d.drift ->> 'left')::bigint         AS left_as_is,
    d.drift ->> 'deletions_blocked_reason'              AS deletions_blocked_reason,
    d.drift -> 'columns'                 AS columns,
    b.error,
    b.started_at,
    b.finished_at,
    (d.drift ->> 'unreported')::bigint   AS unreported,
    d.drift -> 'tolerated'               AS tolerated,
    d.drift -> 'records'                 AS records,
    r.found                              AS records_found,
    r.left_as_is                         AS records_left_as_is
FROM authsync.sync_runs AS b
JOIN authsync.projects AS p ON p.id = b.project_id
CROSS JOIN LATERAL (SELECT CASE WHEN b.phase = 'confirm' THEN b.drift END AS drift) AS d
CROSS JOIN LATERAL (
    SELECT
        sum((t.drift ->> 'missing')::bigint + (t.drift ->> 'differing')::bigint + (t.drift ->> 'deleted_here')::bigint
            + (t.drift ->> 'orphaned')::bigint + (t.drift ->> 'placeholders')::bigint)::bigint AS found,
        sum((t.drift ->> 'left')::bigint)::bigint                                              AS left_as_is
    FROM jsonb_each(d.drift -> 'records') AS t (record_type, drift)
) AS r
WHERE b.kind = 'reconcile'
ORDER BY b.started_at DESC;

COMMENT ON VIEW authsync.reconciles IS 'What each reconcile has found and done, newest first.';
COMMENT ON COLUMN authsync.reconciles.missing IS 'Users whom the mirror did not have.';
COMMENT ON COLUMN authsync.reconciles.deleted_here IS 'Users deleted in the mirror whom the provider has.';
COMMENT ON COLUMN authsync.reconciles.orphaned IS 'Users of the mirror whom the provider does not have.';
COMMENT ON COLUMN authsync.reconciles.placeholders IS 'Rows of ensure_user whose id the provider does not know.';
COMMENT ON COLUMN authsync.reconciles.left_as_is IS 'Users who differ and were left so: of a dry run all, else those that deletions_blocked_reason is about.';
COMMENT ON COLUMN authsync.reconciles.deletions_blocked_reason IS 'Why orphaned users were not deleted.';
COMMENT ON COLUMN authsync.reconciles.columns IS 'How many users differed in which column.';
COMMENT ON COLUMN authsync.reconciles.unreported
    IS 'Users who differed in nothing but what the provider sends no event for; they were brought up to date.';
COMMENT ON COLUMN authsync.reconciles.records
    IS 'The same numbers for other records, by type: organization, membership, invitation. NULL: none were read.';
COMMENT ON COLUMN authsync.reconciles.records_found IS 'How many records other than users differed.';
COMMENT ON COLUMN authsync.reconciles.records_left_as_is IS 'How many of these were left so.';
COMMENT ON COLUMN authsync.reconciles.tolerated IS 'What else differed and does not count, such as raw.scim, and in how many users.';
