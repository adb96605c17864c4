-- Forgets what a running reconcile has found; the run begins anew.
DROP TABLE capydb_auth.reconcile_findings;
