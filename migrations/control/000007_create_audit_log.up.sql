-- Who changed what through the management API, the dashboard and the command.
--
-- Why:   somebody must be able to say afterwards who replaced a secret, and from where.
-- Locks: nothing of note, the table is new.

-- No foreign keys: a row outlives the key and the project that it names.
CREATE TABLE authsync.audit_log (
    id             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    occurred_at    timestamptz NOT NULL,
    actor          text        NOT NULL,
    key_id         uuid,
    key_name       text,
    key_role       text,
    via            text        NOT NULL,
    action         text        NOT NULL,
    project_id     uuid,
    project_name   text,
    object_id      text,
    remote_address inet,
    user_agent     text,
    request_id     text,
    request_count  bigint      NOT NULL DEFAULT 1,
    outcome        text        NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    status         integer,
    code           text,
    changes        jsonb       NOT NULL DEFAULT '{}',
    finished_at    timestamptz,
    CONSTRAINT audit_log_pkey PRIMARY KEY (id),
    CONSTRAINT audit_log_actor_check CHECK (actor IN ('key', 'command', 'system', 'unknown')),
    CONSTRAINT audit_log_via_check CHECK (via IN ('api', 'dashboard', 'command', 'server')),
    CONSTRAINT audit_log_action_check CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    CONSTRAINT audit_log_outcome_check CHECK (outcome IN ('pending', 'succeeded', 'failed', 'refused')),
    CONSTRAINT audit_log_finished_at_check CHECK ((finished_at IS NULL) = (outcome = 'pending'))
);

COMMENT ON TABLE authsync.audit_log IS 'Every management action, one row each, and refused attempts. Append-only: a trigger refuses changes, and deletion for 400 days.';
COMMENT ON COLUMN authsync.audit_log.occurred_at IS 'When the action began; of refused attempts that share a row, when the first one was made.';
COMMENT ON COLUMN authsync.audit_log.actor IS 'key: who held that API key. command: who ran authsync with access to the control database. system: authsync by itself. unknown: no valid key was shown.';
COMMENT ON COLUMN authsync.audit_log.key_name IS 'As it was then, like key_role and project_name.';
COMMENT ON COLUMN authsync.audit_log.via IS 'Where the action was requested: api, dashboard, command, or server for authsync itself.';
COMMENT ON COLUMN authsync.audit_log.action IS 'An object and a verb, such as destination.pause.';
COMMENT ON COLUMN authsync.audit_log.object_id IS 'What the action was about, within the project; the id of a user or record only as a digest.';
COMMENT ON COLUMN authsync.audit_log.remote_address IS 'Where the request came from; NULL for a command.';
COMMENT ON COLUMN authsync.audit_log.user_agent IS 'As the request said, shortened.';
COMMENT ON COLUMN authsync.audit_log.request_id IS 'The id in the log of the server and in the answer.';
COMMENT ON COLUMN authsync.audit_log.request_count IS 'Number of requests: refused attempts of the same kind, by the same key and from the same address, share a row.';
COMMENT ON COLUMN authsync.audit_log.outcome IS 'pending: in progress, or its process ended before it could say. refused: the key may not, or there was none.';
COMMENT ON COLUMN authsync.audit_log.status IS 'The HTTP status of the answer; NULL for a command.';
COMMENT ON COLUMN authsync.audit_log.code IS 'The code of the error in the answer; NULL: it succeeded.';
COMMENT ON COLUMN authsync.audit_log.changes IS 'The fields that the action set. Secrets, and all other text that may hold one, only as a keyed digest (hmac-sha256).';

-- The list is in this order; the filters of a list are seldom narrow enough to need more than the last two.
CREATE INDEX audit_log_occurred_at_idx ON authsync.audit_log (occurred_at, id);
CREATE INDEX audit_log_project_idx ON authsync.audit_log (project_id, occurred_at, id) WHERE project_id IS NOT NULL;
CREATE INDEX audit_log_key_idx ON authsync.audit_log (key_id, occurred_at, id) WHERE key_id IS NOT NULL;
