-- A clone is copied anew when it is needed again.
DROP TABLE capydb_auth.clone_progress;
