-- Projects, their integrations, and who may manage them through the API.
--
-- Why:   everything else in the control database belongs to a project.
-- Locks: nothing of note, the tables are new.

CREATE TABLE authsync.projects (
    id                  uuid        NOT NULL DEFAULT gen_random_uuid(),
    name                text        NOT NULL,
    database_url_sealed bytea       NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    -- squawk-ignore prefer-bigint-over-int
    keep_inbox          integer,
    -- squawk-ignore prefer-bigint-over-int
    keep_ledger         integer,
    -- squawk-ignore prefer-bigint-over-int
    keep_changes        integer,
    -- squawk-ignore prefer-bigint-over-int
    keep_deliveries     integer,
    CONSTRAINT projects_pkey PRIMARY KEY (id),
    CONSTRAINT projects_name_key UNIQUE (name),
    CONSTRAINT projects_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    CONSTRAINT projects_keep_check CHECK (
        keep_inbox BETWEEN 1 AND 400 AND keep_ledger BETWEEN 1 AND 3650
        AND keep_changes BETWEEN 1 AND 3650 AND keep_deliveries BETWEEN 1 AND 3650
    )
);

COMMENT ON TABLE authsync.projects IS 'Tenants. Each has one PostgreSQL database that holds its mirror.';
COMMENT ON COLUMN authsync.projects.name IS 'Name for people; the command accepts it in place of the id.';
COMMENT ON COLUMN authsync.projects.database_url_sealed IS 'Connection URL of the project database, encrypted with a key kept outside the database.';
COMMENT ON COLUMN authsync.projects.keep_inbox IS 'How many days messages and the outcomes of their events are kept; NULL: the server''s default, which is in no table.';
COMMENT ON COLUMN authsync.projects.keep_ledger IS 'Likewise rows of the ledger. It is never kept for less long than messages can be repeated.';
COMMENT ON COLUMN authsync.projects.keep_changes IS 'Likewise changes. The newest one of each record stays.';
COMMENT ON COLUMN authsync.projects.keep_deliveries IS 'Likewise finished deliveries.';

CREATE TABLE authsync.integrations (
    project_id         uuid        NOT NULL,
    provider           text        NOT NULL,
    credentials_sealed bytea       NOT NULL,
    options            jsonb       NOT NULL DEFAULT '{}',
    account_mark       text,
    reconcile_default  text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT integrations_pkey PRIMARY KEY (project_id, provider),
    CONSTRAINT integrations_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT integrations_provider_check CHECK (provider ~ '^(custom:)?[a-z][a-z0-9_]{0,39}$')
);

COMMENT ON TABLE authsync.integrations IS 'The providers configured for a project.';
COMMENT ON COLUMN authsync.integrations.credentials_sealed IS 'Signing secrets and API credentials, encrypted with a key kept outside the database.';
COMMENT ON COLUMN authsync.integrations.options IS 'Settings that are not secret, such as absent_fields.';
COMMENT ON COLUMN authsync.integrations.account_mark IS 'The account whose users the mirror has: the tenant, instance, server or database. Credentials of another one are refused. NULL: not known yet, or the provider does not say.';
COMMENT ON COLUMN authsync.integrations.reconcile_default IS 'How often a reconcile starts unless the option reconcile.every sets it; NULL: the credentials do not allow reading users. A column, because the schedule is computed in SQL and the credentials are sealed.';

-- One row. It lets every process notice a change of projects and integrations with one cheap read.
CREATE TABLE authsync.directory_version (
    singleton boolean NOT NULL DEFAULT true,
    version   bigint  NOT NULL DEFAULT 1,
    CONSTRAINT directory_version_pkey PRIMARY KEY (singleton),
    CONSTRAINT directory_version_singleton_check CHECK (singleton)
);

COMMENT ON TABLE authsync.directory_version IS 'Grows by one with every change of projects or integrations; processes reload when it does.';
COMMENT ON COLUMN authsync.directory_version.singleton IS 'Limits the table to one row.';

INSERT INTO authsync.directory_version DEFAULT VALUES;

CREATE TABLE authsync.api_keys (
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    project_id   uuid,
    name         text        NOT NULL,
    hint         text        NOT NULL,
    key_hash     bytea       NOT NULL,
    role         text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
    CONSTRAINT api_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT api_keys_role_check CHECK (role IN ('admin', 'operator', 'read_only'))
);

COMMENT ON TABLE authsync.api_keys IS 'Keys of the management API. The key itself is shown once and never stored.';
COMMENT ON COLUMN authsync.api_keys.project_id IS 'The only project the key may manage; NULL: all projects.';
COMMENT ON COLUMN authsync.api_keys.hint IS 'The first characters of the key, to tell keys apart.';
COMMENT ON COLUMN authsync.api_keys.key_hash IS 'SHA-256 of the key; the key has 256 random bits, so a slow hash would add nothing.';
COMMENT ON COLUMN authsync.api_keys.role IS 'What the key may do. read_only: look; operator: also start, repeat and stop work; admin: also change settings, rights and keys.';
COMMENT ON COLUMN authsync.api_keys.expires_at IS 'From then on the key is refused, as if it were revoked; NULL: never.';
COMMENT ON COLUMN authsync.api_keys.last_used_at IS 'True to the minute, so that not every request writes; NULL: never used.';

CREATE INDEX api_keys_project_id_idx ON authsync.api_keys (project_id);

-- A caller that got no answer sends the call again, and it must not take effect twice.
CREATE TABLE authsync.idempotency_keys (
    api_key_id    uuid        NOT NULL,
    key_hash      bytea       NOT NULL,
    request_hash  bytea       NOT NULL,
    claim         uuid        NOT NULL,
    busy_until    timestamptz NOT NULL,
    answer_sealed bytea,
    created_at    timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (api_key_id, key_hash),
    CONSTRAINT idempotency_keys_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES authsync.api_keys (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.idempotency_keys IS 'API calls that came with an Idempotency-Key, kept for a day.';
COMMENT ON COLUMN authsync.idempotency_keys.key_hash IS 'SHA-256 of the key.';
COMMENT ON COLUMN authsync.idempotency_keys.request_hash IS 'SHA-256 of method, path, query and body: the same key with another request is a mistake.';
COMMENT ON COLUMN authsync.idempotency_keys.claim IS 'The attempt that is working on the call.';
COMMENT ON COLUMN authsync.idempotency_keys.busy_until IS 'How long that attempt may take. After this, without an answer, it is unknown whether the call took effect.';
COMMENT ON COLUMN authsync.idempotency_keys.answer_sealed IS 'The answer, encrypted with a key kept outside the database because it may hold a secret; NULL: none yet.';

-- For retention.
CREATE INDEX idempotency_keys_created_at_idx ON authsync.idempotency_keys (created_at);
