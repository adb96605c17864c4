-- PostgreSQL lets everybody call a new function. Ours are for the role that owns
-- the mirror, and for those to whom `authsync grant` gives some of them.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA capydb_auth FROM PUBLIC;
