-- Answers to POST calls of the API, by the Idempotency-Key that the caller gave.
--
-- Why:   a caller that got no answer sends the call again, and it must not take effect twice.
-- Locks: none that matter, the table is new; api_keys for a moment, for the foreign key.

CREATE TABLE authsync.idempotency_keys (
    api_key_id    uuid        NOT NULL,
    key_hash      bytea       NOT NULL,
    request_hash  bytea       NOT NULL,
    claim         uuid        NOT NULL,
    busy_until    timestamptz NOT NULL,
    answer_sealed bytea,
    created_at    timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (api_key_id, key_hash),
    CONSTRAINT idempotency_keys_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES authsync.api_keys (id) ON DELETE CASCADE
);

COMMENT ON TABLE authsync.idempotency_keys IS 'Calls of the API that came with an Idempotency-Key, for a day.';
COMMENT ON COLUMN authsync.idempotency_keys.key_hash IS 'SHA-256 of the key.';
COMMENT ON COLUMN authsync.idempotency_keys.request_hash IS 'SHA-256 of method, path, query and body: the same key with another request is a mistake.';
COMMENT ON COLUMN authsync.idempotency_keys.claim IS 'Which attempt at the call works on it.';
COMMENT ON COLUMN authsync.idempotency_keys.busy_until IS 'Until when that attempt may go on. Afterwards, without an answer, nobody knows whether it took effect.';
COMMENT ON COLUMN authsync.idempotency_keys.answer_sealed IS 'The answer, which may hold a secret, encrypted with the key that is kept outside the database; NULL: none yet.';

-- For retention.
CREATE INDEX idempotency_keys_created_at_idx ON authsync.idempotency_keys (created_at);
