-- Projects and their integrations, API keys, the inbox and what became of its events.
--
-- Why:   the first tables of the control database.
-- Locks: none that matter, the tables are new.

CREATE TABLE authsync.projects (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid(),
    name                text        NOT NULL,
    database_url_sealed bytea       NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT projects_pkey PRIMARY KEY (id),
    CONSTRAINT projects_name_key UNIQUE (name),
    CONSTRAINT projects_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$')
);

COMMENT ON TABLE authsync.projects IS 'Tenants. Each has one PostgreSQL database that holds its mirror.';
COMMENT ON COLUMN authsync.projects.name IS 'Name for people; accepted by the command in place of the id.';
COMMENT ON COLUMN authsync.projects.database_url_sealed IS 'Connection URL of the project database, encrypted with the key that is kept outside the database.';

CREATE TABLE authsync.integrations (
    project_id         uuid        NOT NULL,
    provider           text        NOT NULL,
    credentials_sealed bytea       NOT NULL,
    options            jsonb       NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integrations_pkey PRIMARY KEY (project_id, provider),
    CONSTRAINT integrations_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT integrations_provider_check CHECK (provider IN ('auth0', 'clerk', 'better_auth'))
);

COMMENT ON TABLE authsync.integrations IS 'The providers configured for a project.';
COMMENT ON COLUMN authsync.integrations.credentials_sealed IS 'Signing secrets and API credentials, encrypted with the key that is kept outside the database.';
COMMENT ON COLUMN authsync.integrations.options IS 'Settings that are no secret, such as absent_fields.';

-- One row. It lets every process notice a change of projects and integrations by one cheap read.
CREATE TABLE authsync.directory_version (
    singleton boolean NOT NULL DEFAULT true,
    version  bigint  NOT NULL DEFAULT 1,
    CONSTRAINT directory_version_pkey PRIMARY KEY (singleton),
    CONSTRAINT directory_version_singleton_check CHECK (singleton)
);

COMMENT ON TABLE authsync.directory_version IS 'Grows by one with every change of projects or integrations; processes reload when they see it grow.';

INSERT INTO authsync.directory_version DEFAULT VALUES;

CREATE TABLE authsync.api_keys (
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    name         text        NOT NULL,
    hint         text        NOT NULL,
    key_hash     bytea       NOT NULL,
    project_id   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
    CONSTRAINT api_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_name_check CHECK (length(name) BETWEEN 1 AND 100)
);

COMMENT ON TABLE authsync.api_keys IS 'Keys of the management API. The key itself is shown once and never stored.';
COMMENT ON COLUMN authsync.api_keys.hint IS 'The first characters of the key, to tell keys apart.';
COMMENT ON COLUMN authsync.api_keys.key_hash IS 'SHA-256 of the key; the key has 256 random bits, so a slow hash would add nothing.';
COMMENT ON COLUMN authsync.api_keys.project_id IS 'The only project that the key may manage; NULL: all.';

CREATE INDEX api_keys_project_id_idx ON authsync.api_keys (project_id);

-- Partitioned by day, so that retention is a DROP. The default partition takes what
-- no day's partition takes: a delivery is never refused for want of a partition.
CREATE TABLE authsync.inbox (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id  uuid        NOT NULL,
    provider    text        NOT NULL,
    message_id text,
    received_at timestamptz NOT NULL,
    headers     jsonb       NOT NULL,
    body        bytea       NOT NULL,
    CONSTRAINT inbox_pkey PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE authsync.inbox IS 'Every verified delivery as it came, one row each. Only ever appended to; partitioned by day, retention drops partitions.';
COMMENT ON COLUMN authsync.inbox.message_id IS 'The sender''s id of the message, from its headers (svix-id, webhook-id); NULL where it sends none.';
COMMENT ON COLUMN authsync.inbox.received_at IS 'When the request had been read whole.';
COMMENT ON COLUMN authsync.inbox.headers IS 'The request headers worth keeping; never a credential.';
COMMENT ON COLUMN authsync.inbox.body IS 'The raw bytes of the request body. To read it: convert_from(body, ''UTF8'').';

CREATE INDEX inbox_project_idx ON authsync.inbox (project_id, id);
CREATE INDEX inbox_provider_idx ON authsync.inbox (project_id, provider, id);

CREATE TABLE authsync.inbox_default PARTITION OF authsync.inbox DEFAULT;

COMMENT ON TABLE authsync.inbox_default IS 'Deliveries for whose day no partition had been made; empty when all is well.';

CREATE TABLE authsync.event_outcomes (
    inbox_id    bigint      NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    ordinal     integer     NOT NULL,
    received_at timestamptz NOT NULL,
    project_id  uuid        NOT NULL,
    event_id    text,
    type        text,
    user_id     text,
    event_time  timestamptz,
    outcome     text        NOT NULL,
    reason      text,
    applied_at  timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_outcomes_pkey PRIMARY KEY (inbox_id, ordinal, received_at),
    CONSTRAINT event_outcomes_outcome_check CHECK (outcome IN ('applied', 'stale', 'duplicate', 'ignored', 'failed', 'pending'))
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE authsync.event_outcomes IS 'What became of each event of a delivery. Read the view authsync.events instead.';
COMMENT ON COLUMN authsync.event_outcomes.ordinal IS 'Place of the event in its delivery, from 0.';
COMMENT ON COLUMN authsync.event_outcomes.received_at IS 'As in authsync.inbox, so that both are dropped together.';
COMMENT ON COLUMN authsync.event_outcomes.event_time IS 'The provider''s clock of the event.';
COMMENT ON COLUMN authsync.event_outcomes.applied_at IS 'When the outcome was final; NULL while it failed or is pending.';
COMMENT ON COLUMN authsync.event_outcomes.recorded_at IS 'When this row was first written.';

CREATE INDEX event_outcomes_user_idx ON authsync.event_outcomes (project_id, user_id, inbox_id);
CREATE INDEX event_outcomes_event_id_idx ON authsync.event_outcomes (event_id);

-- Few events are something other than applied, and those are what people look for.
CREATE INDEX event_outcomes_outcome_idx ON authsync.event_outcomes (project_id, outcome, inbox_id, ordinal) WHERE outcome <> 'applied';

CREATE INDEX event_outcomes_failed_idx ON authsync.event_outcomes (inbox_id) WHERE outcome = 'failed';
-- Those that were put off, because of a lock in the project's database.
CREATE INDEX event_outcomes_pending_idx ON authsync.event_outcomes (project_id, inbox_id) WHERE outcome = 'pending';

CREATE TABLE authsync.event_outcomes_default PARTITION OF authsync.event_outcomes DEFAULT;

COMMENT ON TABLE authsync.event_outcomes_default IS 'Outcomes for whose day no partition had been made; empty when all is well.';
