-- Reading users from their provider: backfills, reconciles and refreshes; and the repair of mirrors that lost events.
--
-- Why:   a run resumes from its last committed page whatever dies in between, a refresh is repeated until it
--        succeeds, and a mirror restored from a backup gets back the events it lost.
-- Locks: projects for a moment, for the foreign keys; the tables are new.

CREATE TABLE authsync.sync_runs (
    id                   uuid        NOT NULL DEFAULT gen_random_uuid(),
    project_id           uuid        NOT NULL,
    provider             text        NOT NULL,
    kind                 text        NOT NULL,
    options              jsonb       NOT NULL DEFAULT '{}',
    state                text        NOT NULL DEFAULT 'waiting',
    phase                text        NOT NULL DEFAULT 'walk',
    cursor               text        NOT NULL DEFAULT '',
    total                bigint,
    pages                bigint      NOT NULL DEFAULT 0,
    read                 bigint      NOT NULL DEFAULT 0,
    applied              bigint      NOT NULL DEFAULT 0,
    unchanged            bigint      NOT NULL DEFAULT 0,
    failed               bigint      NOT NULL DEFAULT 0,
    worked               interval    NOT NULL DEFAULT '0',
    -- squawk-ignore prefer-bigint-over-int
    consecutive_failures integer     NOT NULL DEFAULT 0,
    wait_reason          text,
    error                text,
    report               jsonb       NOT NULL DEFAULT '{"bad": []}',
    drift                jsonb,
    started_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    finished_at          timestamptz,
    CONSTRAINT sync_runs_pkey PRIMARY KEY (id),
    CONSTRAINT sync_runs_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT sync_runs_provider_check CHECK (provider ~ '^[a-z][a-z0-9_]{0,39}$'),
    CONSTRAINT sync_runs_kind_check CHECK (kind IN ('backfill', 'reconcile')),
    CONSTRAINT sync_runs_state_check CHECK (state IN ('running', 'waiting', 'done', 'failed', 'cancelled')),
    CONSTRAINT sync_runs_phase_check CHECK (phase IN ('walk', 'records', 'orphaned', 'confirm')),
    CONSTRAINT sync_runs_finished_at_check CHECK ((finished_at IS NULL) = (state IN ('running', 'waiting')))
);

COMMENT ON TABLE authsync.sync_runs IS 'Runs that read all users of a provider. Read the view authsync.sync_run_progress instead.';
COMMENT ON COLUMN authsync.sync_runs.kind IS 'backfill: fills the mirror; reconcile: also compares it with the provider.';
COMMENT ON COLUMN authsync.sync_runs.options IS 'Options given when the run was started.';
COMMENT ON COLUMN authsync.sync_runs.state IS 'running; waiting (for its turn, or for wait_reason); done; failed; cancelled.';
COMMENT ON COLUMN authsync.sync_runs.phase IS 'walk: reads all users; records: reads organizations, memberships and invitations; then, in a reconcile, orphaned: looks for records the walk did not meet; confirm: reads single records the walk could not decide on.';
COMMENT ON COLUMN authsync.sync_runs.cursor IS 'Where the next page begins; everything before it is in the mirror.';
COMMENT ON COLUMN authsync.sync_runs.total IS 'Number of users according to the provider; NULL where it does not say.';
COMMENT ON COLUMN authsync.sync_runs.pages IS 'Pages applied, each counted once.';
COMMENT ON COLUMN authsync.sync_runs.read IS 'Records read so far: users and, in the phase records, all others.';
COMMENT ON COLUMN authsync.sync_runs.applied IS 'Records read that were new to the mirror or differed from it.';
COMMENT ON COLUMN authsync.sync_runs.unchanged IS 'Records read that changed nothing.';
COMMENT ON COLUMN authsync.sync_runs.failed IS 'Entries that could not be applied; the first hundred are in report, with the reason.';
COMMENT ON COLUMN authsync.sync_runs.worked IS 'Time spent working, without waiting; the rate is computed from it.';
COMMENT ON COLUMN authsync.sync_runs.consecutive_failures IS 'Failures since the last page; too many end the run.';
COMMENT ON COLUMN authsync.sync_runs.wait_reason IS 'Why the run is waiting; NULL: it is not.';
COMMENT ON COLUMN authsync.sync_runs.error IS 'Why the run failed, for people.';
COMMENT ON COLUMN authsync.sync_runs.report IS 'Key bad: the first hundred entries that failed, with place and reason; notes: sentences for people; records: records read, by type.';
COMMENT ON COLUMN authsync.sync_runs.drift IS 'The result of a reconcile: how many users were missing, differed (by column) or were orphaned, and what was done about them.';

-- One run at a time: a second one would read the same users again.
CREATE UNIQUE INDEX sync_runs_unfinished_key ON authsync.sync_runs (project_id, provider) WHERE state IN ('running', 'waiting');

CREATE INDEX sync_runs_project_id_idx ON authsync.sync_runs (project_id, provider, started_at DESC);

-- Users of whom a log entry said that they may have changed, but not how. Many entries about one user need one
-- request; an entry that comes while a request runs needs another one after it, hence request_count.
CREATE TABLE authsync.refresh_requests (
    project_id      uuid             NOT NULL,
    provider        text             NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    request_count   bigint           NOT NULL DEFAULT 1,
    requested_at    timestamptz      NOT NULL DEFAULT clock_timestamp(),
    -- squawk-ignore prefer-bigint-over-int
    attempts        integer          NOT NULL DEFAULT 0,
    next_attempt_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    last_error      text,
    abandoned_at    timestamptz,
    CONSTRAINT refresh_requests_pkey PRIMARY KEY (project_id, provider, user_id),
    CONSTRAINT refresh_requests_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT refresh_requests_provider_check CHECK (provider ~ '^[a-z][a-z0-9_]{0,39}$')
);

COMMENT ON TABLE authsync.refresh_requests IS 'Users to be read from their provider; a row is deleted once its user was read. Read the view authsync.pending_refreshes instead.';
COMMENT ON COLUMN authsync.refresh_requests.request_count IS 'How often the refresh was requested; one read answers all requests made before it began.';
COMMENT ON COLUMN authsync.refresh_requests.requested_at IS 'When it was first requested.';
COMMENT ON COLUMN authsync.refresh_requests.attempts IS 'How often this user could not be read or written while others could.';
COMMENT ON COLUMN authsync.refresh_requests.next_attempt_at IS 'No attempt before this.';
COMMENT ON COLUMN authsync.refresh_requests.last_error IS 'Why the last attempt failed.';
COMMENT ON COLUMN authsync.refresh_requests.abandoned_at IS 'When authsync gave up; NULL: it has not. Another entry about the user, or authsync refresh, starts over.';

CREATE INDEX refresh_requests_next_attempt_at_idx ON authsync.refresh_requests (project_id, provider, next_attempt_at)
    WHERE abandoned_at IS NULL;

-- Events recorded as applied may be missing from a project's database: it was restored from a backup, failed over
-- to a replica that was behind, or its schema was dropped. Free space in the page keeps the frequent update cheap.
CREATE TABLE authsync.mirror_progress (
    project_id  uuid        NOT NULL,
    epoch       uuid        NOT NULL,
    applied_to  bigint      NOT NULL,
    change_id   bigint      NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT mirror_progress_pkey PRIMARY KEY (project_id),
    CONSTRAINT mirror_progress_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
) WITH (fillfactor = 50);

COMMENT ON TABLE authsync.mirror_progress IS 'The least progress of each project''s mirror: one that is behind this, or of another epoch, has lost events.';
COMMENT ON COLUMN authsync.mirror_progress.epoch IS 'capydb_auth.mirror_progress.epoch in the project''s database.';
COMMENT ON COLUMN authsync.mirror_progress.applied_to IS 'Lower bound of capydb_auth.mirror_progress.applied_to.';
COMMENT ON COLUMN authsync.mirror_progress.change_id IS 'Lower bound of the greatest capydb_auth.changes.id the mirror has handed out.';

CREATE TABLE authsync.mirror_repairs (
    id                     bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id             uuid        NOT NULL,
    cause                  text        NOT NULL,
    epoch                  uuid        NOT NULL,
    known_applied_to       bigint      NOT NULL,
    found_applied_to       bigint      NOT NULL,
    lost_since             timestamptz NOT NULL,
    lost_change_id         bigint      NOT NULL DEFAULT 0,
    not_in_inbox_until     timestamptz,
    last_inbox_id          bigint      NOT NULL,
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

COMMENT ON TABLE authsync.mirror_repairs IS 'Mirrors found to have lost events, and the progress of their repair.';
COMMENT ON COLUMN authsync.mirror_repairs.cause IS 'rewound: the mirror is an older state of itself, as after a restore from a backup; recreated: it was created again, empty.';
COMMENT ON COLUMN authsync.mirror_repairs.epoch IS 'The epoch of the mirror when the loss was found.';
COMMENT ON COLUMN authsync.mirror_repairs.known_applied_to IS 'How far the mirror had been.';
COMMENT ON COLUMN authsync.mirror_repairs.found_applied_to IS 'How far it was when the loss was found.';
COMMENT ON COLUMN authsync.mirror_repairs.lost_since IS 'Events applied since then are applied again; -infinity: all events.';
COMMENT ON COLUMN authsync.mirror_repairs.lost_change_id IS 'The greatest change id handed out before the loss; changes made since have greater ids.';
COMMENT ON COLUMN authsync.mirror_repairs.not_in_inbox_until IS 'Messages received before this are no longer in the inbox, so only a reconcile can restore their changes; NULL: the inbox has everything.';
COMMENT ON COLUMN authsync.mirror_repairs.last_inbox_id IS 'The newest message when the loss was found: later ones are not lost.';
COMMENT ON COLUMN authsync.mirror_repairs.replay_cursor IS 'Messages up to this one (inbox.id) have been scanned.';
COMMENT ON COLUMN authsync.mirror_repairs.messages IS 'Number of messages queued to be applied again.';
COMMENT ON COLUMN authsync.mirror_repairs.last_pending_id IS 'The last row of inbox_pending the repair waits for; NULL: not all messages have been scanned.';
COMMENT ON COLUMN authsync.mirror_repairs.replayed_at IS 'When all messages had been applied again.';
COMMENT ON COLUMN authsync.mirror_repairs.reconciled_providers IS 'Providers for which a reconcile was started.';
COMMENT ON COLUMN authsync.mirror_repairs.unreconciled_providers IS 'Provider -> why no reconcile could be started.';
COMMENT ON COLUMN authsync.mirror_repairs.finished_at IS 'When the repair ended; NULL: it is still at work.';
