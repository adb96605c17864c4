-- Forgets what a reconcile that runs has found; it begins anew.
DROP TABLE capydb_auth.reconcile_findings;
