-- Who was erased: tombstones that keep late events, replays and reads from bringing them back.
--
-- Why:   an event about an erased user may come at any time, and a backfill would read the user again.
-- Locks: nothing of note, the table is new.

CREATE TABLE capydb_auth.erasures (
    digest    text COLLATE "C" NOT NULL, -- hexadecimal: tools that read the schema have no type for bytea
    erased_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT erasures_pkey PRIMARY KEY (digest)
);

COMMENT ON TABLE capydb_auth.erasures IS 'Records that were erased, by digest: events about them are kept out of the mirror. It holds no personal data.';
COMMENT ON COLUMN capydb_auth.erasures.digest IS 'SHA-256 of a key that is in neither database in clear, the record type and the record''s id; see erasure_digest.';
