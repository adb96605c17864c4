-- What a running reconcile has found about each user.
--
-- Why:   a reconcile reads all users of a provider. At its end it must know which users
--        of the mirror were not among them, even if it was interrupted.
-- Locks: nothing of note, the table is new.

-- Unlogged: it lives as long as a run, and writing it must not double what goes to
-- a replica. A crash of the server empties it, together with the row with the empty
-- user_id that each run begins with, so the run notices and begins anew.
CREATE UNLOGGED TABLE capydb_auth.reconcile_findings (
    provider text COLLATE "C" NOT NULL,
    user_id  text COLLATE "C" NOT NULL,
    run_id   uuid             NOT NULL,
    finding  text             NOT NULL,
    columns  text[]           NOT NULL DEFAULT '{}',
    state    text             NOT NULL,
    CONSTRAINT reconcile_findings_pkey PRIMARY KEY (provider, user_id),
    CONSTRAINT reconcile_findings_finding_check
        CHECK (finding IN ('begun', 'equal', 'missing', 'differing', 'deleted', 'orphaned', 'placeholder', 'unreported')),
    CONSTRAINT reconcile_findings_state_check CHECK (state IN ('none', 'open', 'found', 'repaired', 'failed'))
);

COMMENT ON TABLE capydb_auth.reconcile_findings IS 'What the running reconcile has found about each user; internal to authsync, emptied when the run ends.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.user_id IS 'The user; empty in the row that says which run the rows belong to.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.finding IS 'equal; missing here; differing; deleted here but not at the provider; orphaned here; a placeholder; unreported, see compare_users.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.columns IS 'The columns that differ.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.state IS 'none: nothing to do; open: this user is still to be read from the provider; found: certain to differ; repaired; failed.';

-- Few users differ, and those are looked up repeatedly.
CREATE INDEX reconcile_findings_drift_idx ON capydb_auth.reconcile_findings (provider, user_id) WHERE state <> 'none';
