-- Runs that read all users of a provider: backfills, and reconciles.
--
-- Why:   a run goes on from its last committed page, whatever dies meanwhile.
-- Locks: none that matter, the table is new; projects for a moment, for the foreign key.

CREATE TABLE authsync.backfills (
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
    troubles      integer     NOT NULL DEFAULT 0,
    waits_because text,
    error         text,
    report        jsonb       NOT NULL DEFAULT '{"bad": []}',
    started_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    CONSTRAINT backfills_pkey PRIMARY KEY (id),
    CONSTRAINT backfills_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects (id) ON DELETE CASCADE,
    CONSTRAINT backfills_provider_check CHECK (provider IN ('auth0', 'clerk', 'better_auth')),
    CONSTRAINT backfills_kind_check CHECK (kind IN ('backfill', 'reconcile')),
    CONSTRAINT backfills_state_check CHECK (state IN ('running', 'waiting', 'done', 'failed', 'cancelled')),
    CONSTRAINT backfills_finished_at_check CHECK ((finished_at IS NULL) = (state IN ('running', 'waiting')))
);

COMMENT ON TABLE authsync.backfills IS 'Runs that read all users of a provider. Read the view authsync.backfill_progress instead.';
COMMENT ON COLUMN authsync.backfills.kind IS 'backfill: fills the mirror; reconcile: compares it with the provider as well.';
COMMENT ON COLUMN authsync.backfills.options IS 'What was asked for beside the kind.';
COMMENT ON COLUMN authsync.backfills.state IS 'running, waiting (for its turn or for what waits_because says), done, failed or cancelled.';
COMMENT ON COLUMN authsync.backfills.job_id IS 'The job that works on the run (river_job.id).';
COMMENT ON COLUMN authsync.backfills.cursor IS 'Where the next page begins; all before it is in the mirror.';
COMMENT ON COLUMN authsync.backfills.total IS 'How many users the provider says there are; NULL where it does not say.';
COMMENT ON COLUMN authsync.backfills.pages IS 'Pages applied, each counted once.';
COMMENT ON COLUMN authsync.backfills.read IS 'Users read so far.';
COMMENT ON COLUMN authsync.backfills.applied IS 'Of these, those that were new or differed from the mirror.';
COMMENT ON COLUMN authsync.backfills.unchanged IS 'Of these, those that said nothing new.';
COMMENT ON COLUMN authsync.backfills.failed IS 'Entries that are not in the mirror; the first hundred are in report, with the reason.';
COMMENT ON COLUMN authsync.backfills.worked IS 'Time worked, without waiting; what the rate is computed of.';
COMMENT ON COLUMN authsync.backfills.troubles IS 'How often it was put off in a row since the last page; too many end the run.';
COMMENT ON COLUMN authsync.backfills.waits_because IS 'Why the run waits; NULL while it does not.';
COMMENT ON COLUMN authsync.backfills.error IS 'Why the run failed, for a person.';
COMMENT ON COLUMN authsync.backfills.report IS 'Key bad: the first hundred entries that failed, with place and reason.';

-- One run at a time: a second one would read the same users again.
CREATE UNIQUE INDEX backfills_unfinished_key ON authsync.backfills (project_id, provider) WHERE state IN ('running', 'waiting');

CREATE INDEX backfills_project_id_idx ON authsync.backfills (project_id, provider, started_at DESC);
