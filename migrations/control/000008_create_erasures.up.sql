-- Erasures: the removal of everything that is stored of one person, and the receipt of it.
--
-- Why:   an erasure takes many bounded steps in two databases and must survive the death of any process; what is left
--        of it is a receipt without personal data.
-- Locks: projects for a moment, for the foreign key and the new column; the table is new.

ALTER TABLE authsync.projects ADD COLUMN erasure_key_sealed bytea;

COMMENT ON COLUMN authsync.projects.erasure_key_sealed IS 'Key of the digests of erased records, encrypted with a key kept outside the database; NULL: nobody was erased.';

CREATE TABLE authsync.erasures (
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    project_id     uuid        NOT NULL,
    digest         bytea       NOT NULL,
    subject_sealed bytea,
    requested_by   text        NOT NULL,
    state          text        NOT NULL DEFAULT 'running',
    phase          text        NOT NULL DEFAULT 'mark',
    steps          bigint      NOT NULL DEFAULT 0,
    counts         jsonb       NOT NULL DEFAULT '{}',
    destinations   jsonb       NOT NULL DEFAULT '[]',
    clones         jsonb       NOT NULL DEFAULT '[]',
    wait_reason    text,
    requested_at   timestamptz NOT NULL,
    marked_at      timestamptz,
    finished_at    timestamptz,
    CONSTRAINT erasures_pkey PRIMARY KEY (id),
    CONSTRAINT erasures_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT erasures_state_check CHECK (state IN ('running', 'done')),
    CONSTRAINT erasures_phase_check
        CHECK (phase IN ('mark', 'ledger', 'mirror', 'invitations', 'events', 'inbox', 'remains', 'clones', 'destinations', 'finish')),
    CONSTRAINT erasures_finished_at_check CHECK ((finished_at IS NULL) = (state = 'running')),
    CONSTRAINT erasures_subject_sealed_check CHECK ((subject_sealed IS NULL) = (state = 'done'))
);

COMMENT ON TABLE authsync.erasures IS 'Persons who were erased or are being erased; a finished row is the receipt, without personal data.';
COMMENT ON COLUMN authsync.erasures.digest IS 'SHA-256 of the project''s erasure key, the record type user and the user''s id, as in capydb_auth.erasures.';
COMMENT ON COLUMN authsync.erasures.subject_sealed IS 'Who it is and how far it has come, encrypted with a key kept outside the database; NULL once it is done.';
COMMENT ON COLUMN authsync.erasures.requested_by IS 'The API key that asked for it: its id, which names no person.';
COMMENT ON COLUMN authsync.erasures.phase IS 'What is being removed: mark: the tombstone; ledger; mirror: rows and changes; invitations; events: outcomes and their messages; inbox: other messages; remains: the few other rows; clones: the same person''s erasure from each clone begins; destinations: waits until they have heard of it, and until clones are done; finish.';
COMMENT ON COLUMN authsync.erasures.steps IS 'Grows by one with each step, so that of two workers only one goes on.';
COMMENT ON COLUMN authsync.erasures.counts IS 'How many rows were removed or rewritten, by table.';
COMMENT ON COLUMN authsync.erasures.destinations IS 'What each destination has answered: name, type, state, status and when.';
COMMENT ON COLUMN authsync.erasures.clones IS 'The erasures of the same person from clones of the project: project, erasure, state, and when.';
COMMENT ON COLUMN authsync.erasures.wait_reason IS 'What it waits for; NULL: nothing.';
COMMENT ON COLUMN authsync.erasures.marked_at IS 'When the tombstone was set: from then on the person cannot come back.';

-- One erasure of a person at a time.
CREATE UNIQUE INDEX erasures_running_key ON authsync.erasures (project_id, digest) WHERE state = 'running';

CREATE INDEX erasures_project_id_idx ON authsync.erasures (project_id, requested_at DESC, id);
