-- What the receiver notes beside the inbox: requests that it refused, and how much each project has stored.
--
-- Why:   a wrong signing secret was seen only in the log, and nothing bounded what a project stores.
-- Locks: none that matter, the tables are new.

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

COMMENT ON TABLE authsync.rejected_requests
    IS 'Requests to a project''s webhook URLs that were refused: the newest 100 of each provider, for a week; never a secret or a body.';
COMMENT ON COLUMN authsync.rejected_requests.received_at IS 'When the last of them came.';
COMMENT ON COLUMN authsync.rejected_requests.status IS 'The HTTP status of the answer; 503 asks the sender to try again.';
COMMENT ON COLUMN authsync.rejected_requests.reason IS 'A word for programs, such as signature_mismatch or timestamp_too_old.';
COMMENT ON COLUMN authsync.rejected_requests.detail IS 'A sentence for people: what is wrong, and what to do.';
COMMENT ON COLUMN authsync.rejected_requests.body_bytes IS 'The size of the body, as announced or as read; NULL: not known.';
COMMENT ON COLUMN authsync.rejected_requests.header_names IS 'The names of the headers, without their values.';
COMMENT ON COLUMN authsync.rejected_requests.remote_address IS 'Where it came from; NULL: not known.';
COMMENT ON COLUMN authsync.rejected_requests.request_count
    IS 'How many requests the row stands for: those of one reason and address within a second; in a flood also the rest of it.';

CREATE INDEX rejected_requests_project_idx ON authsync.rejected_requests (project_id, provider, id);

CREATE TABLE authsync.inbox_usage (
    project_id    uuid   NOT NULL,
    day           date   NOT NULL,
    message_count bigint NOT NULL,
    byte_count    bigint NOT NULL,
    CONSTRAINT inbox_usage_pkey PRIMARY KEY (project_id, day),
    CONSTRAINT inbox_usage_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.inbox_usage
    IS 'How much each project stored in the inbox on a day (UTC) that is still kept; counted every few seconds, so about right.';
COMMENT ON COLUMN authsync.inbox_usage.byte_count IS 'Bodies, headers, and 500 bytes for the rest of each message and its outcome.';
