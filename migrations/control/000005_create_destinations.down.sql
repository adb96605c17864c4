-- Removes destinations. Changes not yet delivered are lost to them; the change feeds in the project databases stay.
DROP TABLE authsync.rate_limits;
DROP TABLE authsync.external_ids;
DROP TABLE authsync.deliveries;
DROP TABLE authsync.destination_progress;
DROP TABLE authsync.destinations;
