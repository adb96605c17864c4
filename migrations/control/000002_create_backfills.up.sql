-- Runs that read all users of a provider: backfills, and reconciles.
--
-- Why:   a run goes on from its last committed page, whatever dies meanwhile.
-- Locks: none that matter, the table is new; projects for a moment, for the foreign key.

CREATE TABLE authsync.sync_runs (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    project_id    uuid        NOT NULL,
    provider      text        NOT NULL,
    kind          text        NOT NULL,
    options       jsonb       NOT NULL DEFAULT '{}',
    state         text        NOT NULL DEFAULT 'waiting',
    job_id        bigint      NOT NULL DEFAULT 0,
    cursor        text        NOT NULL DEFAULT '',
    total         bigint,
    pages         bigint      NOT NULL DEFAULT 0,
    read          bigint      NOT NULL DEFAULT 0,
    applied       bigint      NOT NULL DEFAULT 0,
    unchanged     bigint      NOT NULL DEFAULT 0,
    failed        bigint      NOT NULL DEFAULT 0,
    worked        interval    NOT NULL DEFAULT '0',
    -- squawk-ignore prefer-bigint-over-int
    consecutive_failures      integer     NOT NULL DEFAULT 0,
    wait_reason text,
    error         text,
    report        jsonb       NOT NULL DEFAULT '{"bad": []}',
    started_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    CONSTRAINT sync_runs_pkey PRIMARY KEY (id),
    CONSTRAINT sync_runs_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT sync_runs_provider_check CHECK (provider IN ('auth0', 'clerk', 'better_auth')),
    CONSTRAINT sync_runs_kind_check CHECK (kind IN ('backfill', 'reconcile')),
    CONSTRAINT sync_runs_state_check CHECK (state IN ('running', 'waiting', 'done', 'failed', 'cancelled')),
    CONSTRAINT sync_runs_finished_at_check CHECK ((finished_at IS NULL) = (state IN ('running', 'waiting')))
);

COMMENT ON TABLE authsync.sync_runs IS 'Runs that read all users of a provider. Read the view authsync.sync_run_progress instead.';
COMMENT ON COLUMN authsync.sync_runs.kind IS 'backfill: fills the mirror; reconcile: compares it with the provider as well.';
COMMENT ON COLUMN authsync.sync_runs.options IS 'What was asked for beside the kind.';
COMMENT ON COLUMN authsync.sync_runs.state IS 'running, waiting (for its turn or for what wait_reason says), done, failed or cancelled.';
COMMENT ON COLUMN authsync.sync_runs.job_id IS 'The job that works on the run (river_job.id).';
COMMENT ON COLUMN authsync.sync_runs.cursor IS 'Where the next page begins; all before it is in the mirror.';
COMMENT ON COLUMN authsync.sync_runs.total IS 'How many users the provider says there are; NULL where it does not say.';
COMMENT ON COLUMN authsync.sync_runs.pages IS 'Pages applied, each counted once.';
COMMENT ON COLUMN authsync.sync_runs.read IS 'Users read so far.';
COMMENT ON COLUMN authsync.sync_runs.applied IS 'Of these, those that were new or differed from the mirror.';
COMMENT ON COLUMN authsync.sync_runs.unchanged IS 'Of these, those that said nothing new.';
COMMENT ON COLUMN authsync.sync_runs.failed IS 'Entries that are not in the mirror; the first hundred are in report, with the reason.';
COMMENT ON COLUMN authsync.sync_runs.worked IS 'Time worked, without waiting; what the rate is computed of.';
COMMENT ON COLUMN authsync.sync_runs.consecutive_failures IS 'How often it was put off in a row since the last page; too many end the run.';
COMMENT ON COLUMN authsync.sync_runs.wait_reason IS 'Why the run waits; NULL while it does not.';
COMMENT ON COLUMN authsync.sync_runs.error IS 'Why the run failed, for a person.';
COMMENT ON COLUMN authsync.sync_runs.report IS 'Key bad: the first hundred entries that failed, with place and reason.';

-- One run at a time: a second one would read the same users again.
CREATE UNIQUE INDEX sync_runs_unfinished_key ON authsync.sync_runs (project_id, provider) WHERE state IN ('running', 'waiting');

CREATE INDEX sync_runs_project_id_idx ON authsync.sync_runs (project_id, provider, started_at DESC);
