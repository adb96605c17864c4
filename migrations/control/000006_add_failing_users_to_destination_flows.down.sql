-- Whose deliveries failed is counted anew.

ALTER TABLE authsync.destination_progress DROP COLUMN breaker_failed_records;
