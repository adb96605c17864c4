-- The receipts are lost, and with the key whoever was erased is no longer recognized.
DROP TABLE authsync.erasures;
ALTER TABLE authsync.projects DROP COLUMN erasure_key_sealed;
