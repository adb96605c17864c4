-- Forgets what was said without a clock: what is older by its clock then counts as newer.
ALTER TABLE capydb_auth.user_versions DROP COLUMN unclocked;

ALTER TYPE capydb_auth.version DROP ATTRIBUTE received_at;
