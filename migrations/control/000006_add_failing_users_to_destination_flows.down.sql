-- Whose deliveries failed is counted anew.

ALTER TABLE authsync.destination_flows DROP COLUMN failing_users;
