-- What authsync watches, and the problems that it found.
--
-- Why:   silence is the worst failure. Somebody must be called when nothing arrives, applies or leaves any more.
-- Locks: projects and integrations for a moment, for the foreign keys; the tables are new.

CREATE TABLE authsync.problems (
    id           bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind         text        NOT NULL,
    project_id   uuid,
    subject      text        NOT NULL DEFAULT '',
    severity     text        NOT NULL,
    detail       text        NOT NULL,
    next_step    text        NOT NULL,
    opened_at    timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    closed_at    timestamptz,
    CONSTRAINT problems_pkey PRIMARY KEY (id),
    CONSTRAINT problems_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT problems_severity_check CHECK (severity IN ('failed', 'warning')),
    CONSTRAINT problems_closed_at_check CHECK (closed_at >= opened_at)
);

COMMENT ON TABLE authsync.problems IS 'Problems that authsync found. Each opens once and closes by itself when its cause is gone; one that comes back is a new row.';
COMMENT ON COLUMN authsync.problems.kind IS 'What is wrong, for programs, such as silence or project_database_down.';
COMMENT ON COLUMN authsync.problems.project_id IS 'The project that has it; NULL: the whole server.';
COMMENT ON COLUMN authsync.problems.subject IS 'What has it within the project or server, such as a provider or the id of a destination; empty: the project or server itself.';
COMMENT ON COLUMN authsync.problems.severity IS 'failed: something does not work; warning: it soon may not.';
COMMENT ON COLUMN authsync.problems.detail IS 'What is wrong, for people, as last seen.';
COMMENT ON COLUMN authsync.problems.next_step IS 'What to do, preferably a command.';
COMMENT ON COLUMN authsync.problems.opened_at IS 'When it was found.';
COMMENT ON COLUMN authsync.problems.last_seen_at IS 'When it was last found to be still there.';
COMMENT ON COLUMN authsync.problems.closed_at IS 'When it was found to be gone; NULL: it is open.';

-- Two processes that find the same problem at the same time open it once.
CREATE UNIQUE INDEX problems_open_key
    ON authsync.problems (kind, (coalesce(project_id, '00000000-0000-0000-0000-000000000000'::uuid)), subject)
    WHERE closed_at IS NULL;
CREATE INDEX problems_project_id_idx ON authsync.problems (project_id, id);
-- For retention.
CREATE INDEX problems_closed_at_idx ON authsync.problems (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE authsync.problem_calls (
    problem_id      bigint      NOT NULL,
    event           text        NOT NULL,
    target          text        NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error      text,
    delivered_at    timestamptz,
    failed_at       timestamptz,
    CONSTRAINT problem_calls_pkey PRIMARY KEY (problem_id, event, target),
    CONSTRAINT problem_calls_problem_id_fkey FOREIGN KEY (problem_id) REFERENCES authsync.problems (id) ON DELETE CASCADE,
    CONSTRAINT problem_calls_event_check CHECK (event IN ('opened', 'closed'))
);

COMMENT ON TABLE authsync.problem_calls IS 'Calls to the operator''s webhooks: one per opening and closing of a problem and per URL. Kept apart from deliveries, because they must leave without a worker.';
COMMENT ON COLUMN authsync.problem_calls.target IS 'The beginning of the SHA-256 of the URL, which may hold a secret.';
COMMENT ON COLUMN authsync.problem_calls.attempts IS 'How often it was sent.';
COMMENT ON COLUMN authsync.problem_calls.next_attempt_at IS 'No process sends it before this.';
COMMENT ON COLUMN authsync.problem_calls.last_error IS 'Why the last attempt failed; NULL: it did not.';
COMMENT ON COLUMN authsync.problem_calls.delivered_at IS 'When it was accepted.';
COMMENT ON COLUMN authsync.problem_calls.failed_at IS 'When it was given up.';

CREATE INDEX problem_calls_waiting_idx ON authsync.problem_calls (next_attempt_at) WHERE delivered_at IS NULL AND failed_at IS NULL;

-- One row: which process evaluates, and what the evaluation itself has to remember.
CREATE TABLE authsync.watch_state (
    singleton      boolean     NOT NULL DEFAULT true,
    claimed_until  timestamptz NOT NULL DEFAULT '-infinity',
    evaluated_at   timestamptz,
    resumed_at     timestamptz,
    worker_seen_at timestamptz,
    CONSTRAINT watch_state_pkey PRIMARY KEY (singleton),
    CONSTRAINT watch_state_singleton_check CHECK (singleton)
);

COMMENT ON TABLE authsync.watch_state IS 'The evaluation of problems: one process at a time, whatever its role.';
COMMENT ON COLUMN authsync.watch_state.singleton IS 'Limits the table to one row.';
COMMENT ON COLUMN authsync.watch_state.claimed_until IS 'No other process evaluates before this.';
COMMENT ON COLUMN authsync.watch_state.evaluated_at IS 'When the last evaluation ended; NULL: there was none.';
COMMENT ON COLUMN authsync.watch_state.resumed_at IS 'When evaluations began again after a pause of minutes, in which no process ran: what was missed meanwhile is no problem yet.';
COMMENT ON COLUMN authsync.watch_state.worker_seen_at IS 'When a worker was last found running.';

INSERT INTO authsync.watch_state DEFAULT VALUES;

-- What silence is for an integration. One row of constant size each, so that learning costs the same whatever arrives,
-- and what was learned does not go with the inbox.
CREATE TABLE authsync.integration_activity (
    project_id       uuid        NOT NULL,
    provider         text        NOT NULL,
    first_message_at timestamptz NOT NULL,
    last_message_at  timestamptz NOT NULL,
    last_inbox_id    bigint      NOT NULL,
    usual_gaps       real[]      NOT NULL,
    learned_at       timestamptz NOT NULL,
    silent_at        timestamptz,
    CONSTRAINT integration_activity_pkey PRIMARY KEY (project_id, provider),
    CONSTRAINT integration_activity_integration_fkey
        FOREIGN KEY (project_id, provider) REFERENCES authsync.integrations (project_id, provider) ON DELETE CASCADE,
    CONSTRAINT integration_activity_usual_gaps_check CHECK (cardinality(usual_gaps) = 168)
);

COMMENT ON TABLE authsync.integration_activity IS 'When each integration last sent a message, and how long its pauses usually are. An integration that never sent one has no row.';
COMMENT ON COLUMN authsync.integration_activity.last_message_at IS 'When its newest message was received, to within five minutes.';
COMMENT ON COLUMN authsync.integration_activity.last_inbox_id IS 'The message (inbox.id) that was received then.';
COMMENT ON COLUMN authsync.integration_activity.usual_gaps IS 'The longest usual pause that covers an hour of the week, in seconds; the first is Monday 00:00 UTC; 0: none was long enough to matter.';
COMMENT ON COLUMN authsync.integration_activity.learned_at IS 'Until when pauses have faded: they lose a twentieth every week.';
COMMENT ON COLUMN authsync.integration_activity.silent_at IS 'Without another message it is silent from then on; NULL: too little is known yet.';

-- What was found outside the control database: by jobs, so that a database or provider that does not answer delays no evaluation.
CREATE TABLE authsync.probes (
    project_id             uuid        NOT NULL,
    subject                text        NOT NULL,
    next_probe_at          timestamptz NOT NULL,
    probed_at              timestamptz,
    failing_since          timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    consecutive_failures   integer     NOT NULL DEFAULT 0,
    finding                text,
    detail                 text,
    certificate_expires_at timestamptz,
    gap_since              timestamptz,
    gap_until              timestamptz,
    redelivery_at          timestamptz,
    run_id                 uuid,
    CONSTRAINT probes_pkey PRIMARY KEY (project_id, subject),
    CONSTRAINT probes_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.probes IS 'What probes of project databases and providers found. The evaluation reads these rows and never probes itself.';
COMMENT ON COLUMN authsync.probes.subject IS 'database, or the name of a provider.';
COMMENT ON COLUMN authsync.probes.next_probe_at IS 'No probe starts before this.';
COMMENT ON COLUMN authsync.probes.probed_at IS 'When the last probe ended.';
COMMENT ON COLUMN authsync.probes.failing_since IS 'When the first of the failed probes in a row ended; NULL: the last one succeeded.';
COMMENT ON COLUMN authsync.probes.finding IS 'The kind of problem that the last probe found; NULL: none.';
COMMENT ON COLUMN authsync.probes.detail IS 'What the last probe found, for people; NULL: nothing.';
COMMENT ON COLUMN authsync.probes.certificate_expires_at IS 'When the TLS certificate of the project database expires; NULL: the connection has none.';
COMMENT ON COLUMN authsync.probes.gap_since IS 'Events may be missing since then; NULL: none, or they have been restored.';
COMMENT ON COLUMN authsync.probes.gap_until IS 'The provider sends again since then; NULL: not yet.';
COMMENT ON COLUMN authsync.probes.redelivery_at IS 'When the provider was last asked to send failed deliveries again.';
COMMENT ON COLUMN authsync.probes.run_id IS 'The reconcile that closes the gap (sync_runs.id); NULL: none was started.';

CREATE INDEX probes_next_probe_at_idx ON authsync.probes (next_probe_at);
