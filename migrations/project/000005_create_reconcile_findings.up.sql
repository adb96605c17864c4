-- What a running reconcile has found about each record.
--
-- Why:   a reconcile reads all records of a provider. At its end it must know which records
--        of the mirror were not among them, even if it was interrupted.
-- Locks: nothing of note, the table is new.

-- Unlogged: it lives as long as a run, and writing it must not double what goes to
-- a replica. A crash of the server empties it, together with the row with the empty
-- record_id that each run begins with, so the run notices and begins anew.
CREATE UNLOGGED TABLE capydb_auth.reconcile_findings (
    provider    text COLLATE "C" NOT NULL,
    record_type text COLLATE "C" NOT NULL,
    record_id   text COLLATE "C" NOT NULL,
    run_id      uuid             NOT NULL,
    finding     text             NOT NULL,
    columns     text[]           NOT NULL DEFAULT '{}',
    state       text             NOT NULL,
    CONSTRAINT reconcile_findings_pkey PRIMARY KEY (provider, record_type, record_id),
    CONSTRAINT reconcile_findings_finding_check
        CHECK (finding IN ('begun', 'equal', 'missing', 'differing', 'deleted', 'orphaned', 'placeholder', 'unreported')),
    CONSTRAINT reconcile_findings_state_check CHECK (state IN ('none', 'open', 'found', 'repaired', 'failed', 'recent'))
);

COMMENT ON TABLE capydb_auth.reconcile_findings IS 'What the running reconcile has found about each record; internal to authsync, emptied when the run ends.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.record_type IS 'user, organization, membership or invitation; empty in the row that says which run the rows belong to.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.record_id IS 'The record; empty in the row that says which run the rows belong to.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.finding IS 'equal; missing here; differing; deleted here but not at the provider; orphaned here; a placeholder; unreported, see compare_users and its likes.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.columns IS 'The columns that differ.';
COMMENT ON COLUMN capydb_auth.reconcile_findings.state IS 'none: nothing to do; open: this record is still to be read from the provider; found: certain to differ; repaired; failed; recent: left to the next run, because the mirror has heard of something that the provider''s answer may not know.';

-- Few records differ, and those are looked up repeatedly.
CREATE INDEX reconcile_findings_drift_idx ON capydb_auth.reconcile_findings (provider, record_type, record_id) WHERE state <> 'none';
