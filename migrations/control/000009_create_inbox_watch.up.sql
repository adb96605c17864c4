-- How far the inbox has been watched, and the deliveries that had no outcome then.
--
-- Why:   a delivery whose job a person cancelled or deleted gets another job, and finding it
--        must not mean reading the whole inbox each time. Only the first look does, page by page.
-- Locks: none that matter, the tables are new.

CREATE TABLE authsync.inbox_watch (
    only_row   boolean     NOT NULL DEFAULT true,
    watched_to bigint      NOT NULL DEFAULT 0,
    known_to   bigint      NOT NULL DEFAULT 0,
    known_at   timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT inbox_watch_pkey PRIMARY KEY (only_row),
    CONSTRAINT inbox_watch_only_row_check CHECK (only_row)
);

COMMENT ON TABLE authsync.inbox_watch IS 'One row: how far deliveries have been looked at once, some minutes after they came.';
COMMENT ON COLUMN authsync.inbox_watch.watched_to IS 'Deliveries up to this id have an outcome or are in inbox_late.';
COMMENT ON COLUMN authsync.inbox_watch.known_to IS 'The greatest id that had been given out at known_at.';

INSERT INTO authsync.inbox_watch DEFAULT VALUES;

-- No foreign key: retention drops deliveries by the day.
CREATE TABLE authsync.inbox_late (
    inbox_id    bigint      NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT inbox_late_pkey PRIMARY KEY (inbox_id)
);

COMMENT ON TABLE authsync.inbox_late
    IS 'Deliveries without an outcome some minutes after they came: watched until they have one, and given another job if theirs is gone.';
