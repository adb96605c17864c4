-- The road out: destinations, deliveries to them, and what keeps deliveries ordered and paced.
--
-- Why:   every change of a project's users and other records goes on to the systems that must follow.
-- Locks: projects for a moment, for the foreign key; the tables are new.

CREATE TABLE authsync.destinations (
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    project_id     uuid        NOT NULL,
    name           text        NOT NULL,
    type           text        NOT NULL,
    event_types    text[]      NOT NULL DEFAULT '{user.created,user.updated,user.deleted,user.restored}',
    fields         text[]      NOT NULL DEFAULT '{}',
    condition      text,
    holdback       interval,
    options        jsonb       NOT NULL DEFAULT '{}',
    secrets_sealed bytea       NOT NULL,
    state          text        NOT NULL DEFAULT 'active',
    state_by       text        NOT NULL DEFAULT 'user',
    state_reason   text,
    state_since    timestamptz NOT NULL DEFAULT now(),
    filter_halted  boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT destinations_pkey PRIMARY KEY (id),
    CONSTRAINT destinations_project_id_name_key UNIQUE (project_id, name),
    CONSTRAINT destinations_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT destinations_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    CONSTRAINT destinations_type_check CHECK (type IN ('hubspot', 'webhook', 'http')),
    CONSTRAINT destinations_event_types_check CHECK (
        event_types <> '{}'
        AND event_types <@ ('{user.created,user.updated,user.deleted,user.restored,user.*}'::text[]
            || '{organization.created,organization.updated,organization.deleted,organization.restored,organization.*}'::text[]
            || '{membership.created,membership.updated,membership.deleted,membership.restored,membership.*}'::text[]
            || '{invitation.created,invitation.updated,invitation.deleted,invitation.restored,invitation.*}'::text[]
            || '{session.created,session.updated,session.deleted,session.restored,session.*}'::text[])
    ),
    CONSTRAINT destinations_holdback_check CHECK (holdback > interval '0' AND holdback <= interval '30 days'),
    CONSTRAINT destinations_state_check CHECK (state IN ('active', 'paused', 'disabled')),
    CONSTRAINT destinations_state_by_check CHECK (state_by IN ('user', 'system'))
);

COMMENT ON TABLE authsync.destinations IS 'Where the changes of a project''s records are sent.';
COMMENT ON COLUMN authsync.destinations.name IS 'Name for people; the command accepts it in place of the id.';
COMMENT ON COLUMN authsync.destinations.type IS 'Which type of system it is.';
COMMENT ON COLUMN authsync.destinations.event_types IS 'The types of event it receives; organization.* stands for all of organizations.';
COMMENT ON COLUMN authsync.destinations.fields IS 'It receives only changes of these fields, such as email or raw.app_metadata.plan; empty: all.';
COMMENT ON COLUMN authsync.destinations.condition IS 'A jq expression that must be true of a change; NULL: none.';
COMMENT ON COLUMN authsync.destinations.holdback IS 'How long a deletion is held back, from its commit; it is not sent at all if the record is restored meanwhile. NULL: it is sent at once.';
COMMENT ON COLUMN authsync.destinations.options IS 'Settings of its type that are not secret.';
COMMENT ON COLUMN authsync.destinations.secrets_sealed IS 'Its secrets, encrypted with a key kept outside the database.';
COMMENT ON COLUMN authsync.destinations.state IS 'active; paused: nothing is sent until it is resumed; disabled: the same, after it failed for days or answered that it is gone.';
COMMENT ON COLUMN authsync.destinations.state_by IS 'Who set the state: user or system.';
COMMENT ON COLUMN authsync.destinations.state_reason IS 'Why it is in this state, and what to do.';
COMMENT ON COLUMN authsync.destinations.filter_halted IS 'Its fields or condition repeatedly cost too much to evaluate: its changes are not relayed until the filter is changed or it is resumed.';

-- Apart from destinations, because it changes with every delivery.
CREATE TABLE authsync.destination_progress (
    destination_id         uuid        NOT NULL,
    cursor                 bigint      NOT NULL,
    passed_until           timestamptz NOT NULL DEFAULT 'infinity',
    lease                  uuid,
    leased_by              text,
    leased_job             bigint,
    leased_until           timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    consecutive_failures   integer     NOT NULL DEFAULT 0,
    failing_since          timestamptz,
    breaker_open_until     timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    breaker_trips          integer     NOT NULL DEFAULT 0,
    breaker_failed_records text[]      NOT NULL DEFAULT '{}',
    last_success_at        timestamptz,
    last_success_sent_at   timestamptz,
    CONSTRAINT destination_progress_pkey PRIMARY KEY (destination_id),
    CONSTRAINT destination_progress_destination_id_fkey
        FOREIGN KEY (destination_id) REFERENCES authsync.destinations (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.destination_progress IS 'The progress and health of each destination. Read the view authsync.destination_health instead.';
COMMENT ON COLUMN authsync.destination_progress.cursor IS 'Deliveries have been made of all changes up to this capydb_auth.changes.id.';
COMMENT ON COLUMN authsync.destination_progress.passed_until IS 'When the mirror last lost changes, the destination had passed all those applied before this; infinity: all. See repeated_changes.';
COMMENT ON COLUMN authsync.destination_progress.lease IS 'The run of a job that may send to it.';
COMMENT ON COLUMN authsync.destination_progress.leased_by IS 'The River client that holds the lease; the lease ends with its process.';
COMMENT ON COLUMN authsync.destination_progress.leased_job IS 'The job that took the lease (river_job.id).';
COMMENT ON COLUMN authsync.destination_progress.leased_until IS 'No other run may send before this.';
COMMENT ON COLUMN authsync.destination_progress.consecutive_failures IS 'Attempts that failed since the last success.';
COMMENT ON COLUMN authsync.destination_progress.failing_since IS 'When the first of these failed; NULL: the last attempt succeeded.';
COMMENT ON COLUMN authsync.destination_progress.breaker_open_until IS 'The circuit breaker is open: nothing is sent before this, then one probe; NULL: it is closed.';
COMMENT ON COLUMN authsync.destination_progress.breaker_trips IS 'How often the breaker has opened since it was last closed.';
COMMENT ON COLUMN authsync.destination_progress.breaker_failed_records IS 'The order keys of deliveries that failed at their first attempt since the last success, at most as many as open the breaker. It counts users and organizations, not attempts or records, so that one whose data is always refused delays nobody else.';
COMMENT ON COLUMN authsync.destination_progress.last_success_sent_at IS 'When the most recently sent of all successful requests was sent.';

CREATE TABLE authsync.deliveries (
    id              bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    project_id      uuid        NOT NULL,
    destination_id  uuid        NOT NULL,
    change_id       bigint      NOT NULL,
    first_change_id bigint,
    record_type     text        NOT NULL,
    record_id       text        NOT NULL,
    user_id         text,
    order_key       text        NOT NULL,
    event_type      text        NOT NULL,
    changed         text[]      NOT NULL,
    changed_at      timestamptz NOT NULL,
    event_id        text,
    state           text        NOT NULL,
    held_from       timestamptz,
    released_at     timestamptz,
    reason          text,
    coalesced_into  bigint,
    begun           boolean     NOT NULL DEFAULT false,
    begun_at        timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_attempt_at timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    last_status     integer,
    last_response   text,
    attempt_log     jsonb[],
    -- squawk-ignore prefer-bigint-over-int
    deferrals       integer     NOT NULL DEFAULT 0,
    deferred_at     timestamptz,
    job_id          bigint,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT deliveries_pkey PRIMARY KEY (id),
    -- The change first: in the other order it would tempt the planner away from the indexes below.
    CONSTRAINT deliveries_change_id_destination_id_key UNIQUE (change_id, destination_id),
    CONSTRAINT deliveries_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES authsync.destinations (id) ON DELETE CASCADE,
    CONSTRAINT deliveries_record_type_check CHECK (record_type IN ('user', 'organization', 'membership', 'invitation', 'session')),
    CONSTRAINT deliveries_event_type_check CHECK (
        event_type IN (record_type || '.created', record_type || '.updated', record_type || '.deleted', record_type || '.restored')
        OR event_type = 'user.erased'
    ),
    CONSTRAINT deliveries_state_check
        CHECK (state IN ('held', 'blocked', 'ready', 'retrying', 'delivered', 'coalesced', 'failed', 'cancelled')),
    CONSTRAINT deliveries_finished_at_check CHECK ((finished_at IS NULL) = (state IN ('held', 'blocked', 'ready', 'retrying'))),
    CONSTRAINT deliveries_held_from_check CHECK (state <> 'held' OR held_from IS NOT NULL)
);

COMMENT ON TABLE authsync.deliveries IS 'One row per change and destination that receives it. The body is read from the project''s database when it is sent.';
COMMENT ON COLUMN authsync.deliveries.change_id IS 'capydb_auth.changes.id in the project''s database.';
COMMENT ON COLUMN authsync.deliveries.first_change_id IS 'The earliest change coalesced into it; NULL: it stands for its own change alone.';
COMMENT ON COLUMN authsync.deliveries.record_id IS 'The provider''s id of the record; of a membership organization_id/user_id, see capydb_auth.event.record_id.';
COMMENT ON COLUMN authsync.deliveries.user_id IS 'The user that the record is or belongs to; NULL: none.';
COMMENT ON COLUMN authsync.deliveries.order_key IS 'Deliveries with the same key are sent one after another: user:ID of a user, its memberships and sessions, organization:ID of an organization and its invitations, TYPE:ID of a record that belongs to neither. Unfinished deliveries of a record have the same key.';
COMMENT ON COLUMN authsync.deliveries.changed IS 'The changed columns.';
COMMENT ON COLUMN authsync.deliveries.event_id IS 'The event that made the change: it identifies a change that a repaired mirror makes again under another id.';
COMMENT ON COLUMN authsync.deliveries.state IS 'held: a deletion that is held back, or a later change of the deleted record; blocked: an earlier delivery with the same order key comes first; ready; retrying: failed or deferred, with a job of its own; delivered; coalesced: merged into coalesced_into; failed; cancelled.';
COMMENT ON COLUMN authsync.deliveries.held_from IS 'When the deletion was committed from which its holdback counts. It stays with a delivery that was cancelled while it was held: the destination is not to hear of that deletion, nor that it was undone. NULL: it is not held back, or no longer.';
COMMENT ON COLUMN authsync.deliveries.released_at IS 'When it was held no longer: it has waited since then. NULL: since its change.';
COMMENT ON COLUMN authsync.deliveries.reason IS 'Why it is in its state, where that adds to the state.';
COMMENT ON COLUMN authsync.deliveries.coalesced_into IS 'The later delivery that carries its change.';
COMMENT ON COLUMN authsync.deliveries.begun IS 'Sending a state with this change has begun at least once, so it may have arrived whatever else is recorded.';
COMMENT ON COLUMN authsync.deliveries.begun_at IS 'When the attempt began whose outcome is not recorded: it is under way, or its process died. Destinations that take states only; see begin_deliveries.';
COMMENT ON COLUMN authsync.deliveries.attempts IS 'How often it was sent.';
COMMENT ON COLUMN authsync.deliveries.last_response IS 'The last response of the destination, at most 4 kB.';
COMMENT ON COLUMN authsync.deliveries.attempt_log IS 'Its last attempts, oldest first, see authsync.add_attempt; NULL: none, or one that succeeded, which the other columns describe.';
COMMENT ON COLUMN authsync.deliveries.deferrals IS 'How often it was deferred (429, 503) again after the destination had accepted a later request. A deferral costs no attempt, because it is about the destination; one that always hits the same delivery must still come to an end.';
COMMENT ON COLUMN authsync.deliveries.deferred_at IS 'When the request that was last deferred was sent; NULL: none since it was last made ready.';
COMMENT ON COLUMN authsync.deliveries.job_id IS 'The job that retries it (river_job.id).';

-- What can be sent now, in order.
CREATE INDEX deliveries_ready_idx ON authsync.deliveries (destination_id, change_id) WHERE state = 'ready';

-- Deliveries that wait for an earlier one, in order. Not one index with the next: each finished delivery
-- asks whether its order key has another one under way, which would walk over all that wait.
CREATE INDEX deliveries_blocked_idx ON authsync.deliveries (destination_id, order_key, change_id) WHERE state = 'blocked';

-- An order key has at most one delivery under way to a destination.
CREATE UNIQUE INDEX deliveries_under_way_key ON authsync.deliveries (destination_id, order_key) WHERE state IN ('ready', 'retrying');

-- What is not finished of a record: its changes are coalesced, and share an order key. The record first: in another
-- order it would tempt the planner away from the indexes above, and walk over all that a destination waits for.
CREATE INDEX deliveries_unfinished_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE state IN ('held', 'blocked', 'ready', 'retrying');

-- Deletions that a destination has not heard of: held, by when they are due, or cancelled while they were. And those of a record.
CREATE INDEX deliveries_held_idx ON authsync.deliveries (destination_id, state, held_from)
    WHERE held_from IS NOT NULL AND state IN ('held', 'cancelled');
CREATE INDEX deliveries_withheld_idx ON authsync.deliveries (record_id, record_type, destination_id, change_id)
    WHERE held_from IS NOT NULL AND state IN ('held', 'cancelled');

-- For lists: those of a project are put together from those of its destinations. The project first, or these would tempt
-- the planner away from the indexes above, which begin with the destination. Each ends in an order that no other index has, not
-- even that of the primary key, so that a list that asks for this order can be read from its own index alone: from another one,
-- what is rare would be looked for among all deliveries.
CREATE INDEX deliveries_project_idx ON authsync.deliveries (project_id, destination_id, id NULLS FIRST);
CREATE INDEX deliveries_state_idx ON authsync.deliveries (project_id, destination_id, state, (id + 0));
CREATE INDEX deliveries_type_idx ON authsync.deliveries (project_id, destination_id, event_type, state, (id + 0) NULLS FIRST);

CREATE INDEX deliveries_user_idx ON authsync.deliveries (project_id, user_id, id);
CREATE INDEX deliveries_record_idx ON authsync.deliveries (project_id, record_type, record_id, id);
CREATE INDEX deliveries_retrying_idx ON authsync.deliveries (destination_id, next_attempt_at) WHERE state = 'retrying';
CREATE INDEX deliveries_failed_idx ON authsync.deliveries (destination_id, record_type, record_id) WHERE state = 'failed';

-- For retention, which differs by project.
CREATE INDEX deliveries_finished_idx ON authsync.deliveries (project_id, finished_at)
    WHERE state IN ('delivered', 'coalesced', 'cancelled');

CREATE TABLE authsync.external_ids (
    destination_id uuid        NOT NULL,
    record_type    text        NOT NULL,
    record_id      text        NOT NULL,
    external_id    text        NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT external_ids_pkey PRIMARY KEY (destination_id, record_type, record_id),
    CONSTRAINT external_ids_destination_id_fkey
        FOREIGN KEY (destination_id) REFERENCES authsync.destinations (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.external_ids IS 'A destination''s own id of a record, such as the record id of a CRM contact.';

CREATE TABLE authsync.rate_limits (
    scope         text        NOT NULL,
    bucket        text        NOT NULL,
    tat           timestamptz NOT NULL DEFAULT '-infinity',
    blocked_until timestamptz NOT NULL DEFAULT '-infinity',
    reason        text,
    day           date,
    day_requests  bigint      NOT NULL DEFAULT 0,
    CONSTRAINT rate_limits_pkey PRIMARY KEY (scope, bucket)
);

COMMENT ON TABLE authsync.rate_limits IS 'The state of each rate limit, shared by all processes and all destinations with the same account.';
COMMENT ON COLUMN authsync.rate_limits.scope IS 'A digest of what the destination counts by, such as an access token.';
COMMENT ON COLUMN authsync.rate_limits.bucket IS 'Which of the account''s limits.';
COMMENT ON COLUMN authsync.rate_limits.tat IS 'Theoretical arrival time of the next request (GCRA): requests may precede it by the burst.';
COMMENT ON COLUMN authsync.rate_limits.blocked_until IS 'No request before this, at the destination''s request.';
COMMENT ON COLUMN authsync.rate_limits.reason IS 'Why requests are blocked.';
COMMENT ON COLUMN authsync.rate_limits.day IS 'The day, in the account''s time zone, that day_requests counts.';
