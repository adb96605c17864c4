-- Removes the mirror. The provider still has the users.
DROP TABLE capydb_auth.users;
DROP TYPE capydb_auth.version;
