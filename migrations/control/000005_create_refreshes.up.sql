-- Users that are to be read from their provider, because something said that they
-- may have changed but not how.
--
-- Why:   many log entries about a user need one request. River's unique jobs cannot
--        say so: an entry that comes while a request runs needs another one after it.
-- Locks: none that matter, the tables are new; projects for a moment, for the foreign keys.

CREATE TABLE authsync.refresh_requests (
    project_id  uuid        NOT NULL,
    provider    text        NOT NULL,
    user_id     text        COLLATE "C" NOT NULL,
    request_count    bigint      NOT NULL DEFAULT 1,
    requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- squawk-ignore prefer-bigint-over-int
    attempts    integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error   text,
    abandoned_at  timestamptz,
    CONSTRAINT refresh_requests_pkey PRIMARY KEY (project_id, provider, user_id),
    CONSTRAINT refresh_requests_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT refresh_requests_provider_check CHECK (provider IN ('auth0', 'clerk', 'better_auth'))
);

COMMENT ON TABLE authsync.refresh_requests
    IS 'Users to be read from their provider; a row goes when it was done. Read the view authsync.pending_refreshes instead.';
COMMENT ON COLUMN authsync.refresh_requests.request_count
    IS 'How often it was asked for; a request answers all that were asked before it began.';
COMMENT ON COLUMN authsync.refresh_requests.requested_at IS 'When it was asked for first.';
COMMENT ON COLUMN authsync.refresh_requests.attempts
    IS 'How often this user could not be read or written, while others could.';
COMMENT ON COLUMN authsync.refresh_requests.next_attempt_at IS 'Not to be tried before.';
COMMENT ON COLUMN authsync.refresh_requests.last_error IS 'Why the last try failed.';
COMMENT ON COLUMN authsync.refresh_requests.abandoned_at
    IS 'When it was given up; NULL: not. Another entry about the user, or authsync refresh, tries again.';

CREATE INDEX refresh_requests_next_attempt_at_idx ON authsync.refresh_requests (project_id, provider, next_attempt_at)
    WHERE abandoned_at IS NULL;
