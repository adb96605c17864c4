-- Retention that differs by project: days of the inbox that are rewritten for the few projects that keep them, and how far
-- the mirrors are pruned.
--
-- Why:   a day is dropped whole. Where some projects keep it for longer, their rows are copied to a partition of their own
--        first, in steps, each of which survives the death of its process.
-- Locks: projects for a moment, for the foreign key; the tables are new.

CREATE TABLE authsync.inbox_rewrites (
    suffix     text   NOT NULL,
    project_id uuid   NOT NULL,
    copied_to  bigint NOT NULL DEFAULT 0,
    CONSTRAINT inbox_rewrites_pkey PRIMARY KEY (suffix, project_id)
);

COMMENT ON TABLE authsync.inbox_rewrites IS 'Days of the inbox that are being rewritten, with the projects whose rows the new partition gets.';
COMMENT ON COLUMN authsync.inbox_rewrites.suffix IS 'The end of the names of the partitions, such as 20260814; those that are being filled end in _kept.';
COMMENT ON COLUMN authsync.inbox_rewrites.copied_to IS 'Messages up to this id have been copied; the greatest bigint: all.';

CREATE TABLE authsync.inbox_rewrite_changes (
    id       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    suffix   text   NOT NULL,
    inbox_id bigint NOT NULL,
    CONSTRAINT inbox_rewrite_changes_pkey PRIMARY KEY (suffix, id)
);

COMMENT ON TABLE authsync.inbox_rewrite_changes IS 'Messages that were changed, or whose outcomes were, while their day is rewritten: they are copied again.';

CREATE TABLE authsync.mirror_prunings (
    project_id   uuid        NOT NULL,
    attempted_at timestamptz NOT NULL,
    finished_at  timestamptz,
    last_error   text,
    held_reason  text,
    ledger_rows  bigint      NOT NULL DEFAULT 0,
    change_rows  bigint      NOT NULL DEFAULT 0,
    CONSTRAINT mirror_prunings_pkey PRIMARY KEY (project_id),
    CONSTRAINT mirror_prunings_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.mirror_prunings IS 'How the last pruning of each project''s ledger and changes went.';
COMMENT ON COLUMN authsync.mirror_prunings.finished_at IS 'When everything past its retention was last gone, apart from what is held; NULL: never yet.';
COMMENT ON COLUMN authsync.mirror_prunings.last_error IS 'Why the last attempt ended early; NULL: it did not.';
COMMENT ON COLUMN authsync.mirror_prunings.held_reason IS 'Why rows past their retention stay, such as a destination that has not read them; NULL: none do.';
COMMENT ON COLUMN authsync.mirror_prunings.ledger_rows IS 'Rows of the ledger deleted so far.';
COMMENT ON COLUMN authsync.mirror_prunings.change_rows IS 'Changes deleted so far.';
