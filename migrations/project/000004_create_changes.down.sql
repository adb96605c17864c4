-- Forgets which events were processed, and all changes: destinations do not receive those they have not read yet.
DROP TABLE capydb_auth.changes;
DROP TABLE capydb_auth.processed_events;
DROP TYPE capydb_auth.event;
