-- Who was erased comes back with the next event or backfill.
DROP TABLE capydb_auth.erasures;
