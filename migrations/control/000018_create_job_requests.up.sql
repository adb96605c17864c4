-- Which jobs have work to do, and which messages wait to be applied.
--
-- Why:   a job for each commit made a backlog as many jobs as there were commits. One job a
--        project reads what waits from a table that is only for that, and the search for messages
--        that lost their job has nothing to search any more.
-- Locks: none that matter, the tables are new.

CREATE TABLE authsync.job_requests (
    kind       text        NOT NULL,
    subject    text        NOT NULL,
    args       jsonb       NOT NULL,
    job_id     bigint,
    idle_since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT job_requests_pkey PRIMARY KEY (kind, subject)
);

COMMENT ON TABLE authsync.job_requests IS 'The jobs that exist once for each subject, such as a project: which of them has work to do.';
COMMENT ON COLUMN authsync.job_requests.kind IS 'The kind of the job.';
COMMENT ON COLUMN authsync.job_requests.subject IS 'What it is about: a project, a destination, a provider of a project.';
COMMENT ON COLUMN authsync.job_requests.args IS 'The arguments of the job.';
COMMENT ON COLUMN authsync.job_requests.job_id IS 'The job (river_job.id); NULL: there is nothing to do.';
COMMENT ON COLUMN authsync.job_requests.idle_since IS 'When the last job found nothing more to do.';

-- A row changes twice for each job: no index but the key, and room in its page, make that cheap.
ALTER TABLE authsync.job_requests SET (fillfactor = 50);

CREATE TABLE authsync.inbox_pending (
    project_id    uuid        NOT NULL,
    id            bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    inbox_ids     bigint[]    NOT NULL,
    -- squawk-ignore prefer-bigint-over-int
    messages      integer     NOT NULL GENERATED ALWAYS AS (cardinality(inbox_ids)) STORED,
    bytes         bigint      NOT NULL,
    received_from timestamptz NOT NULL,
    received_to   timestamptz NOT NULL,
    CONSTRAINT inbox_pending_pkey PRIMARY KEY (project_id, id)
);

-- Rows come and go: the dead ones at the front of the index are what slows reading.
ALTER TABLE authsync.inbox_pending SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1
);

COMMENT ON TABLE authsync.inbox_pending
    IS 'Messages that wait to be applied: one row a commit and project. Read the view authsync.project_lag instead.';
COMMENT ON COLUMN authsync.inbox_pending.inbox_ids IS 'The messages (inbox.id), ascending.';
COMMENT ON COLUMN authsync.inbox_pending.messages IS 'How many there are.';
COMMENT ON COLUMN authsync.inbox_pending.bytes IS 'The size of their bodies.';
COMMENT ON COLUMN authsync.inbox_pending.received_from IS 'When the first of them was received; it and received_to say which days'' partitions to read.';
COMMENT ON COLUMN authsync.inbox_pending.received_to IS 'When the last of them was received.';
