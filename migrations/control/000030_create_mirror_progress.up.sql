-- Notes how far each mirror is, and the repairs of those that have lost what was applied.
--
-- Why:   events that are on record as applied may be gone from a project's database: it was
--        restored from a backup, failed over to a replica that was behind, or its schema was dropped.
-- Locks: none that matter, the tables are new; projects for a moment, for the foreign keys.

CREATE TABLE authsync.mirror_progress (
    project_id  uuid        NOT NULL,
    epoch       uuid        NOT NULL,
    applied_to  bigint      NOT NULL,
    change_id   bigint      NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mirror_progress_pkey PRIMARY KEY (project_id),
    CONSTRAINT mirror_progress_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
)
WITH (fillfactor = 50);

COMMENT ON TABLE authsync.mirror_progress
    IS 'How far each project''s mirror was at least: one that is behind this, or of another epoch, has lost what was applied.';
COMMENT ON COLUMN authsync.mirror_progress.epoch IS 'capydb_auth.mirror_progress.epoch in the project''s database.';
COMMENT ON COLUMN authsync.mirror_progress.applied_to IS 'capydb_auth.mirror_progress.applied_to, at least.';
COMMENT ON COLUMN authsync.mirror_progress.change_id IS 'The greatest id of user_changes that the mirror had given, at least.';

CREATE TABLE authsync.mirror_repairs (
    id                     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id             uuid        NOT NULL,
    cause                  text        NOT NULL,
    epoch                  uuid        NOT NULL,
    known_applied_to       bigint      NOT NULL,
    found_applied_to       bigint      NOT NULL,
    lost_since             timestamptz NOT NULL,
    not_in_inbox_until     timestamptz,
    last_inbox_id          bigint      NOT NULL,
    lost_change_id         bigint      NOT NULL DEFAULT 0,
    replay_cursor          bigint      NOT NULL DEFAULT 0,
    messages               bigint      NOT NULL DEFAULT 0,
    last_pending_id        bigint,
    replayed_at            timestamptz,
    reconciled_providers   text[]      NOT NULL DEFAULT '{}',
    unreconciled_providers jsonb       NOT NULL DEFAULT '{}',
    found_at               timestamptz NOT NULL,
    finished_at            timestamptz,
    CONSTRAINT mirror_repairs_pkey PRIMARY KEY (id),
    CONSTRAINT mirror_repairs_known_key UNIQUE (project_id, epoch, known_applied_to),
    CONSTRAINT mirror_repairs_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT mirror_repairs_cause_check CHECK (cause IN ('rewound', 'recreated'))
);

COMMENT ON TABLE authsync.mirror_repairs IS 'Mirrors that were found to have lost what was applied, and how far their repair is.';
COMMENT ON COLUMN authsync.mirror_repairs.cause
    IS 'rewound: the mirror is an older one, as after a restore from a backup; recreated: it was made anew, empty.';
COMMENT ON COLUMN authsync.mirror_repairs.epoch IS 'The epoch of the mirror as it was found.';
COMMENT ON COLUMN authsync.mirror_repairs.known_applied_to IS 'How far the mirror had been.';
COMMENT ON COLUMN authsync.mirror_repairs.found_applied_to IS 'How far it was when it was found.';
COMMENT ON COLUMN authsync.mirror_repairs.lost_since IS 'What was applied since then is applied again; -infinity: everything.';
COMMENT ON COLUMN authsync.mirror_repairs.not_in_inbox_until
    IS 'What was received before this is no longer in the inbox, so only a reconcile can bring it back; NULL: the inbox has everything.';
COMMENT ON COLUMN authsync.mirror_repairs.last_inbox_id IS 'The newest message when it was found: what came later is not lost.';
COMMENT ON COLUMN authsync.mirror_repairs.lost_change_id IS 'The greatest id of a change that anybody had been told of: changes of the repair, and later ones, have greater ids.';
COMMENT ON COLUMN authsync.mirror_repairs.replay_cursor IS 'Messages up to this one (inbox.id) were looked through.';
COMMENT ON COLUMN authsync.mirror_repairs.messages IS 'How many messages wait, or waited, to be applied again.';
COMMENT ON COLUMN authsync.mirror_repairs.last_pending_id IS 'The last row of inbox_pending that the repair waits for; NULL: not all messages were looked through.';
COMMENT ON COLUMN authsync.mirror_repairs.replayed_at IS 'When all messages had been applied again.';
COMMENT ON COLUMN authsync.mirror_repairs.reconciled_providers IS 'Providers for which a reconcile was started.';
COMMENT ON COLUMN authsync.mirror_repairs.unreconciled_providers IS 'Provider -> why no reconcile could be started.';
COMMENT ON COLUMN authsync.mirror_repairs.finished_at IS 'When nothing was left to do; NULL: the repair is at work.';
