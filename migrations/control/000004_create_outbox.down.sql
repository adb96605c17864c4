-- Undoes 000004_create_outbox.up.sql. What was waiting to be delivered is lost.
DROP TABLE authsync.rate_limits;
DROP TABLE authsync.external_ids;
DROP TABLE authsync.deliveries;
DROP TABLE authsync.destination_progress;
DROP TABLE authsync.destinations;
