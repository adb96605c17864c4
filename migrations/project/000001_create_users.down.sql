-- Removes the mirror. The provider still has the users.
DROP TYPE capydb_auth.user_event;
DROP TABLE capydb_auth.users;
DROP TYPE capydb_auth.version;
