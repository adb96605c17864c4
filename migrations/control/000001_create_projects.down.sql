-- Removes projects, integrations and API keys. The mirrors in the project databases stay.
DROP TABLE authsync.idempotency_keys;
DROP TABLE authsync.api_keys;
DROP TABLE authsync.directory_version;
DROP TABLE authsync.integrations;
DROP TABLE authsync.projects;
