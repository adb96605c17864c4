-- What a reconcile has found out about each user, while it runs.
--
-- Why:   a reconcile reads all users of a provider. At its end it must know which
--        users of the mirror were not among them, also if it was interrupted.
-- Locks: none that matter, the table is new.

-- Unlogged: it lives as long as a run, and writing it must not double what goes to
-- a replica. A crash of the server empties it; the row with the empty user_id, which
-- each run begins with, is gone then too, so that the run notices and begins anew.
CREATE UNLOGGED TABLE capydb_auth.reconcile_findings (
    provider text   COLLATE "C" NOT NULL,
    user_id  text   COLLATE "C" NOT NULL,
    run_id   uuid   NOT NULL,
    finding  text   NOT NULL,
    columns  text[] NOT NULL DEFAULT '{}',
    state    text   NOT NULL,
    CONSTRAINT reconcile_findings_pkey PRIMARY KEY (provider, user_id),
    CONSTRAINT reconcile_findings_finding_check
        CHECK (finding IN ('begun', 'equal', 'missing', 'differing', 'deleted', 'orphaned', 'placeholder', 'unreported')),
    CONSTRAINT reconcile_findings_state_check CHECK (state IN ('none', 'open', 'found', 'repaired', 'failed'))
);

COMMENT ON TABLE capydb_auth.reconcile_findings
    IS 'What the reconcile that runs has found out about each user; authsync''s own, emptied when it ends.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.user_id IS 'The user; empty for the row that says which run the rows belong to.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.finding
    IS 'equal; missing here; differing; deleted here but not at the provider; orphaned here; a placeholder; unreported, see compare_users.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.columns IS 'The columns that differ.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.state
    IS 'none: nothing to do; open: the provider is to be asked about this user; found: it differs for certain; repaired; failed.';

-- Few users differ; those are asked for again and again.
CREATE INDEX reconcile_findings_drift_idx ON capydb_auth.reconcile_findings (provider, user_id) WHERE state <> 'none';
