-- Removes projects, integrations, keys and the inbox. What was mirrored stays in the project databases.
DROP TABLE authsync.event_outcomes;
DROP TABLE authsync.inbox;
DROP TABLE authsync.api_keys;
DROP TABLE authsync.directory_version;
DROP TABLE authsync.integrations;
DROP TABLE authsync.projects;
