-- A mirror restored from a backup is no longer noticed, and two projects may mix their users.
DROP TABLE capydb_auth.mirror_progress;
DROP TABLE capydb_auth.owner;
