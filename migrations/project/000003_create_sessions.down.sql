-- Removes sessions.
DROP TABLE capydb_auth.sessions;
