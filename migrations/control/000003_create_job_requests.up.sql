-- Jobs that exist once per subject, and which of them have work to do.
--
-- Why:   one job per commit would make a backlog of as many jobs as there were commits. River's unique
--        jobs do not help: a request that comes while a job runs may need another job after it.
-- Locks: nothing of note, the table is new.

-- A row changes twice per job: no index other than the key, and free space in its page, make that cheap.
CREATE TABLE authsync.job_requests (
    kind       text        NOT NULL,
    subject    text        NOT NULL,
    args       jsonb       NOT NULL,
    job_id     bigint,
    idle_since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT job_requests_pkey PRIMARY KEY (kind, subject)
) WITH (fillfactor = 50);

COMMENT ON TABLE authsync.job_requests IS 'Jobs that exist once per subject, such as a project, and which of them have work to do.';
COMMENT ON COLUMN authsync.job_requests.kind IS 'The kind of the job.';
COMMENT ON COLUMN authsync.job_requests.subject IS 'What the job works on: a project, a destination, a sync run, a provider of a project.';
COMMENT ON COLUMN authsync.job_requests.args IS 'The arguments of the job.';
COMMENT ON COLUMN authsync.job_requests.job_id IS 'The job (river_job.id); NULL: nothing to do.';
COMMENT ON COLUMN authsync.job_requests.idle_since IS 'When the last job ran out of work.';
