-- Notes whose mirror this is.
--
-- Why:   two projects that were given one database would mix their users.
-- Locks: none that matter, the table is new.

CREATE TABLE capydb_auth.owner (
    is_only    boolean     NOT NULL DEFAULT true,
    project_id uuid        NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT owner_pkey PRIMARY KEY (is_only),
    CONSTRAINT owner_is_only_check CHECK (is_only)
);

COMMENT ON TABLE capydb_auth.owner IS 'The project whose mirror this is: one row; none while no project has it.';
COMMENT ON COLUMN capydb_auth.owner.is_only IS 'Lets there be one row.';
COMMENT ON COLUMN capydb_auth.owner.project_id IS 'The id of the project in the control database of its authsync.';
COMMENT ON COLUMN capydb_auth.owner.since IS 'Since when it is this project''s.';
