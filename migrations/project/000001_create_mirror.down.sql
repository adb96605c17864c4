-- Removes the mirror and everything it knows. The provider still has the users.
DROP TABLE capydb_auth.user_changes;
DROP TABLE capydb_auth.processed_events;
DROP TABLE capydb_auth.user_versions;
DROP TABLE capydb_auth.users;
DROP TYPE capydb_auth.version;
