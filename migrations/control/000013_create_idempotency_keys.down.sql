-- Calls that are sent again take effect again.
DROP TABLE authsync.idempotency_keys;
