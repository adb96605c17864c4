-- The road in: messages as received, the outcome of each event, and what waits to be applied.
--
-- Why:   a provider gets its 2xx once its message is stored here; everything after that can be repeated.
-- Locks: projects for a moment, for the foreign keys; the tables are new.

-- Partitioned by day, so that retention is a DROP. The default partition takes what
-- no day's partition takes: a message is never refused for want of a partition.
CREATE TABLE authsync.inbox (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id  uuid        NOT NULL,
    provider    text        NOT NULL,
    message_id  text,
    verified_by text,
    received_at timestamptz NOT NULL,
    headers     jsonb       NOT NULL,
    body        bytea       NOT NULL,
    excluded    jsonb,
    CONSTRAINT inbox_pkey PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE authsync.inbox IS 'Every verified message as received, one row each. Append-only; partitioned by day, retention drops partitions.';
COMMENT ON COLUMN authsync.inbox.message_id IS 'The sender''s id of the message, from its headers (svix-id, webhook-id); NULL where it sends none.';
COMMENT ON COLUMN authsync.inbox.verified_by IS 'How the message was proven genuine: the method, a space, and the name of the secret (its beginning in SHA-256).';
COMMENT ON COLUMN authsync.inbox.received_at IS 'When the request had been read in full.';
COMMENT ON COLUMN authsync.inbox.headers IS 'The request headers worth keeping; never a credential.';
COMMENT ON COLUMN authsync.inbox.excluded IS 'The entries of option exclude whose fields were removed from the body before it was stored; NULL: none.';
COMMENT ON COLUMN authsync.inbox.body IS 'The raw bytes of the request body. To read it: convert_from(body, ''UTF8'').';

CREATE INDEX inbox_project_idx ON authsync.inbox (project_id, id);
CREATE INDEX inbox_provider_idx ON authsync.inbox (project_id, provider, id);

CREATE TABLE authsync.inbox_default PARTITION OF authsync.inbox DEFAULT;

COMMENT ON TABLE authsync.inbox_default IS 'Messages of days without a partition; normally empty.';

CREATE TABLE authsync.event_outcomes (
    inbox_id    bigint      NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    ordinal     integer     NOT NULL,
    received_at timestamptz NOT NULL,
    project_id  uuid        NOT NULL,
    event_id    text,
    type        text,
    user_id     text,
    record_type text,
    record_id   text,
    event_time  timestamptz,
    outcome     text        NOT NULL,
    reason      text,
    applied_at  timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_outcomes_pkey PRIMARY KEY (inbox_id, ordinal, received_at),
    CONSTRAINT event_outcomes_outcome_check CHECK (outcome IN ('applied', 'stale', 'duplicate', 'ignored', 'failed', 'pending'))
) PARTITION BY RANGE (received_at);

COMMENT ON TABLE authsync.event_outcomes IS 'The outcome of each event of a message. Read the view authsync.events instead.';
COMMENT ON COLUMN authsync.event_outcomes.ordinal IS 'Place of the event in its message, from 0.';
COMMENT ON COLUMN authsync.event_outcomes.received_at IS 'As in authsync.inbox, so that retention drops both together.';
COMMENT ON COLUMN authsync.event_outcomes.user_id IS 'The user that the event is about, or whose membership or session it is about.';
COMMENT ON COLUMN authsync.event_outcomes.record_type IS 'organization, membership, invitation or session; NULL for a user.';
COMMENT ON COLUMN authsync.event_outcomes.record_id IS 'The id of that record; NULL for a user, whose id is user_id.';
COMMENT ON COLUMN authsync.event_outcomes.event_time IS 'The provider''s clock of the event.';
COMMENT ON COLUMN authsync.event_outcomes.applied_at IS 'When the outcome became final; NULL while it is failed or pending.';
COMMENT ON COLUMN authsync.event_outcomes.recorded_at IS 'When this row was first written.';

-- What is asked for comes first, not the project: in the other order these would tempt the planner to look up each
-- message of a project by the inbox_id alone, and walk over all events that the project had on that day.
CREATE INDEX event_outcomes_user_idx ON authsync.event_outcomes (user_id, project_id, inbox_id, ordinal);
CREATE INDEX event_outcomes_record_idx ON authsync.event_outcomes (record_id, record_type, project_id, inbox_id, ordinal)
    WHERE record_id IS NOT NULL;
CREATE INDEX event_outcomes_event_id_idx ON authsync.event_outcomes (event_id, inbox_id, ordinal);
CREATE INDEX event_outcomes_type_idx ON authsync.event_outcomes (type, project_id, inbox_id, ordinal);

-- Few events have an outcome other than applied, and those are what people look for.
CREATE INDEX event_outcomes_outcome_idx ON authsync.event_outcomes (project_id, outcome, inbox_id, ordinal) WHERE outcome <> 'applied';

CREATE INDEX event_outcomes_failed_idx ON authsync.event_outcomes (project_id, inbox_id) WHERE outcome = 'failed';

-- Events that a lock in the project's database deferred.
CREATE INDEX event_outcomes_pending_idx ON authsync.event_outcomes (project_id, inbox_id) WHERE outcome = 'pending';

CREATE TABLE authsync.event_outcomes_default PARTITION OF authsync.event_outcomes DEFAULT;

COMMENT ON TABLE authsync.event_outcomes_default IS 'Outcomes of days without a partition; normally empty.';

-- What apply_inbox reads, so that nothing has to search the inbox for messages without an outcome.
-- Rows come and go: dead ones at the front of the index slow reading, so vacuum comes early.
CREATE TABLE authsync.inbox_pending (
    id            bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id    uuid        NOT NULL,
    inbox_ids     bigint[]    NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    messages      integer     NOT NULL GENERATED ALWAYS AS (cardinality(inbox_ids)) STORED,
    bytes         bigint      NOT NULL,
    received_from timestamptz NOT NULL,
    received_to   timestamptz NOT NULL,
    last_id       bigint      GENERATED ALWAYS AS (inbox_ids[cardinality(inbox_ids)]) STORED,
    -- squawk-ignore prefer-bigint-over-smallint
    spread        smallint    GENERATED ALWAYS AS (CASE
        WHEN inbox_ids[cardinality(inbox_ids)] - inbox_ids[1] < 64 THEN 0
        WHEN inbox_ids[cardinality(inbox_ids)] - inbox_ids[1] < 4096 THEN 1
        WHEN inbox_ids[cardinality(inbox_ids)] - inbox_ids[1] < 262144 THEN 2
        ELSE 3
    END) STORED,
    CONSTRAINT inbox_pending_pkey PRIMARY KEY (project_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1);

COMMENT ON TABLE authsync.inbox_pending IS 'Messages waiting to be applied: one row per commit and project. Read the view authsync.project_lag instead.';
COMMENT ON COLUMN authsync.inbox_pending.inbox_ids IS 'The messages (inbox.id), ascending.';
COMMENT ON COLUMN authsync.inbox_pending.messages IS 'Number of messages.';
COMMENT ON COLUMN authsync.inbox_pending.bytes IS 'Total size of their bodies.';
COMMENT ON COLUMN authsync.inbox_pending.received_from IS 'When the first of them was received; with received_to it limits which partitions are read.';
COMMENT ON COLUMN authsync.inbox_pending.received_to IS 'When the last of them was received.';
COMMENT ON COLUMN authsync.inbox_pending.last_id IS 'The newest of the messages.';
COMMENT ON COLUMN authsync.inbox_pending.spread IS 'How far the ids are apart: less than 64 (0), 4096 (1), 262144 (2), or more (3). Commits overlap, and a replay takes messages of any age; see pending_messages.';

-- Finds the newest messages without those before them; see pending_messages. One more entry for a commit.
CREATE INDEX inbox_pending_newest_idx ON authsync.inbox_pending (project_id, spread, last_id);

-- Bounds what a project may store.
CREATE TABLE authsync.inbox_usage (
    project_id    uuid   NOT NULL,
    day           date   NOT NULL,
    message_count bigint NOT NULL,
    byte_count    bigint NOT NULL,
    CONSTRAINT inbox_usage_pkey PRIMARY KEY (project_id, day),
    CONSTRAINT inbox_usage_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.inbox_usage IS 'How much each project stored in the inbox per day (UTC) still retained; updated every few seconds, so approximate.';
COMMENT ON COLUMN authsync.inbox_usage.byte_count IS 'Bodies and headers, plus 500 bytes per message for its other columns and outcome.';

-- Shows how many messages arrive. A slot is written again a day later, so that nothing has to be deleted.
CREATE TABLE authsync.message_counts (
    project_id    uuid        NOT NULL,
    -- squawk-ignore prefer-bigint-over-smallint
    slot          smallint    NOT NULL,
    began_at      timestamptz NOT NULL,
    message_count bigint      NOT NULL,
    CONSTRAINT message_counts_pkey PRIMARY KEY (project_id, slot),
    CONSTRAINT message_counts_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT message_counts_slot_check CHECK (slot BETWEEN 0 AND 95)
) WITH (fillfactor = 50);

COMMENT ON TABLE authsync.message_counts IS 'How many messages each project received per quarter of an hour, for a day; updated every few seconds, so approximate.';
COMMENT ON COLUMN authsync.message_counts.slot IS 'Which quarter of its day (UTC), from 0.';
COMMENT ON COLUMN authsync.message_counts.began_at IS 'When that quarter began: a row that is older than a day is of an earlier one.';

-- Lets people see a wrong signing secret without reading the log.
CREATE TABLE authsync.rejected_requests (
    id             bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id     uuid        NOT NULL,
    provider       text        NOT NULL,
    received_at    timestamptz NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    status         integer     NOT NULL,
    reason         text        NOT NULL,
    detail         text        NOT NULL,
    body_bytes     bigint,
    header_names   text[]      NOT NULL,
    remote_address inet,
    request_count  bigint      NOT NULL DEFAULT 1,
    CONSTRAINT rejected_requests_pkey PRIMARY KEY (id),
    CONSTRAINT rejected_requests_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.rejected_requests IS 'Rejected requests to a project''s webhook URLs: the newest 100 per provider, kept for a week; never a secret or a body.';
COMMENT ON COLUMN authsync.rejected_requests.received_at IS 'When the last of them was received.';
COMMENT ON COLUMN authsync.rejected_requests.status IS 'The HTTP status of the answer; 503 asks the sender to retry.';
COMMENT ON COLUMN authsync.rejected_requests.reason IS 'A code for programs, such as signature_mismatch or timestamp_too_old.';
COMMENT ON COLUMN authsync.rejected_requests.detail IS 'A sentence for people: what is wrong, and what to do.';
COMMENT ON COLUMN authsync.rejected_requests.body_bytes IS 'Size of the body, as announced or as read; NULL: unknown.';
COMMENT ON COLUMN authsync.rejected_requests.header_names IS 'The names of the headers, without their values.';
COMMENT ON COLUMN authsync.rejected_requests.remote_address IS 'The address of the sender; NULL: unknown.';
COMMENT ON COLUMN authsync.rejected_requests.request_count IS 'Number of requests the row stands for: those with the same reason and address within a second; in a flood, also those not recorded on their own.';

CREATE INDEX rejected_requests_project_idx ON authsync.rejected_requests (project_id, provider, id);
