-- Whose deliveries failed, so that the circuit breaker counts users and not attempts.
--
-- Why:   one user's data that the other side refuses again and again must delay nobody else.
-- Locks: destination_progress, exclusively, for a moment: no row is written.

ALTER TABLE authsync.destination_progress
    ADD COLUMN breaker_failed_records text[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN authsync.destination_progress.breaker_failed_records
    IS 'Users with a delivery whose first attempt failed since the last attempt that did not; as many as open the breaker.';
