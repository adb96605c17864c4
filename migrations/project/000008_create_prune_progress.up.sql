-- How far the change feed is pruned.
--
-- Why:   pruning goes over the feed once, in small steps, and must not look again at what it has left.
-- Locks: nothing of note, the table is new.

CREATE TABLE capydb_auth.prune_progress (
    singleton  boolean NOT NULL DEFAULT true,
    changes_to bigint  NOT NULL DEFAULT 0,
    CONSTRAINT prune_progress_pkey PRIMARY KEY (singleton),
    CONSTRAINT prune_progress_singleton_check CHECK (singleton)
);

COMMENT ON TABLE capydb_auth.prune_progress IS 'How far the change feed is pruned.';
COMMENT ON COLUMN capydb_auth.prune_progress.singleton IS 'Limits the table to one row.';
COMMENT ON COLUMN capydb_auth.prune_progress.changes_to IS 'Of the changes up to this id, each record has its newest one only.';

INSERT INTO capydb_auth.prune_progress DEFAULT VALUES;
