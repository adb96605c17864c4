-- Undoes 000004_create_outbox.up.sql. What was waiting to be delivered is lost.
DROP TABLE authsync.rate_limits;
DROP TABLE authsync.destination_links;
DROP TABLE authsync.deliveries;
DROP TABLE authsync.destination_flows;
DROP TABLE authsync.destinations;
