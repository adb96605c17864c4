-- Nothing is lost: placeholders are found by reading all users.
DROP INDEX capydb_auth.users_placeholders_idx;
