-- Clones: projects whose mirror is made from the mirror of another project, and how far each is.
--
-- Why:   a copy takes many bounded steps in two databases that do not belong to authsync, and must survive the death
--        of any process.
-- Locks: projects for a moment, for the foreign keys; the table is new.

CREATE TABLE authsync.clones (
    project_id        uuid        NOT NULL,
    source_project_id uuid,
    source_name       text        NOT NULL,
    mode              text        NOT NULL,
    phase             text        NOT NULL DEFAULT 'begin',
    place             jsonb,
    steps             bigint      NOT NULL DEFAULT 0,
    account_marks     jsonb       NOT NULL DEFAULT '{}',
    rows_expected     bigint,
    rows_copied       bigint      NOT NULL DEFAULT 0,
    changes_copied    bigint      NOT NULL DEFAULT 0,
    changes_behind    bigint,
    copied_at         timestamptz,
    caught_up_at      timestamptz,
    wait_reason       text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clones_pkey PRIMARY KEY (project_id),
    CONSTRAINT clones_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT clones_source_project_id_fkey FOREIGN KEY (source_project_id) REFERENCES authsync.projects (id) ON DELETE SET NULL,
    CONSTRAINT clones_mode_check CHECK (mode IN ('following', 'still')),
    CONSTRAINT clones_phase_check CHECK (phase IN ('begin', 'copy', 'remove', 'changes', 'following', 'still')),
    -- The deletion of a project that clones still read from fails here.
    CONSTRAINT clones_source_check CHECK (source_project_id IS NOT NULL OR phase = 'still')
);

COMMENT ON TABLE authsync.clones IS 'Projects whose mirror is made from the mirror of another project, the source.';
COMMENT ON COLUMN authsync.clones.source_project_id IS 'The source; NULL: it was detached after the clone had come to a standstill.';
COMMENT ON COLUMN authsync.clones.source_name IS 'The name of the source when the clone was made.';
COMMENT ON COLUMN authsync.clones.mode IS 'following: what changes in the source changes in the clone; still: the clone stays as it was copied.';
COMMENT ON COLUMN authsync.clones.phase IS 'begin; copy: rows are copied; remove: rows that the source does not have are removed; changes: the change feed is copied; following: it follows; still: it stands still.';
COMMENT ON COLUMN authsync.clones.place IS 'The table, and the key of the last row of a full copy; NULL: there is none under way.';
COMMENT ON COLUMN authsync.clones.steps IS 'Grows by one with each step, so that of two workers only one goes on.';
COMMENT ON COLUMN authsync.clones.account_marks IS 'The accounts whose users the source had, by provider, as integrations.account_mark: an integration of a clone''s own must be of the same.';
COMMENT ON COLUMN authsync.clones.rows_expected IS 'How many rows the source had when the last full copy began, as PostgreSQL estimates.';
COMMENT ON COLUMN authsync.clones.rows_copied IS 'How many rows the last full copy has read.';
COMMENT ON COLUMN authsync.clones.changes_copied IS 'How many changes of the feed were copied.';
COMMENT ON COLUMN authsync.clones.changes_behind IS 'How many changes of the source''s feed the clone lacked when it looked last, at most; NULL: not known yet.';
COMMENT ON COLUMN authsync.clones.copied_at IS 'When the last full copy ended; NULL: none has.';
COMMENT ON COLUMN authsync.clones.caught_up_at IS 'When the clone last had all that the source had; NULL: never yet.';
COMMENT ON COLUMN authsync.clones.wait_reason IS 'What it waits for; NULL: nothing.';

-- Each commit of the source's changes looks here.
CREATE INDEX clones_source_project_id_idx ON authsync.clones (source_project_id);
