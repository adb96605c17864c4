-- A mirror that is restored from a backup is not noticed any more.
DROP TABLE capydb_auth.mirror_progress;
