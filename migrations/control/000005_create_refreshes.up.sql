-- Users that are to be read from their provider, because something said that they
-- may have changed but not how.
--
-- Why:   many log entries about a user need one request. River's unique jobs cannot
--        say so: an entry that comes while a request runs needs another one after it.
-- Locks: none that matter, the tables are new; projects for a moment, for the foreign keys.

CREATE TABLE authsync.wanted_refreshes (
    project_id  uuid        NOT NULL,
    provider    text        NOT NULL,
    user_id     text        COLLATE "C" NOT NULL,
    asked       bigint      NOT NULL DEFAULT 1,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- squawk-ignore prefer-bigint-over-int
    tries       integer     NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    problem     text,
    gave_up_at  timestamptz,
    CONSTRAINT wanted_refreshes_pkey PRIMARY KEY (project_id, provider, user_id),
    CONSTRAINT wanted_refreshes_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT wanted_refreshes_provider_check CHECK (provider IN ('auth0', 'clerk', 'better_auth'))
);

COMMENT ON TABLE authsync.wanted_refreshes
    IS 'Users to be read from their provider; a row goes when it was done. Read the view authsync.waiting_refreshes instead.';
COMMENT ON COLUMN authsync.wanted_refreshes.asked
    IS 'How often it was asked for; a request answers all that were asked before it began.';
COMMENT ON COLUMN authsync.wanted_refreshes.asked_at IS 'When it was asked for first.';
COMMENT ON COLUMN authsync.wanted_refreshes.tries
    IS 'How often this user could not be read or written, while others could.';
COMMENT ON COLUMN authsync.wanted_refreshes.next_try_at IS 'Not to be tried before.';
COMMENT ON COLUMN authsync.wanted_refreshes.problem IS 'Why the last try failed.';
COMMENT ON COLUMN authsync.wanted_refreshes.gave_up_at
    IS 'When it was given up; NULL: not. Another entry about the user, or authsync refresh, tries again.';

CREATE INDEX wanted_refreshes_next_try_at_idx ON authsync.wanted_refreshes (project_id, provider, next_try_at) WHERE gave_up_at IS NULL;
