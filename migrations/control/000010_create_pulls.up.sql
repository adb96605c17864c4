-- How far the events of a provider were pulled, and by which process.
--
-- Why:   a provider that can be asked for its events need not reach authsync; what was read last must outlive
--        the process, and one process at a time reads.
-- Locks: integrations for a moment, for the foreign key; the table is new.

CREATE TABLE authsync.pulls (
    project_id           uuid        NOT NULL,
    provider             text        NOT NULL,
    cursor               text,
    origin               text,
    since                timestamptz NOT NULL,
    cursor_moved_at      timestamptz,
    messages             bigint      NOT NULL DEFAULT 0,
    last_message_at      timestamptz,
    claimed_by           uuid,
    claimed_until        timestamptz,
    connected_since      timestamptz,
    last_ended_at        timestamptz,
    retry_at             timestamptz,
    wait_reason          text,
    consecutive_failures bigint      NOT NULL DEFAULT 0,
    reconcile_due        boolean     NOT NULL DEFAULT false,
    lost_at              timestamptz,
    lost_reason          text,
    CONSTRAINT pulls_pkey PRIMARY KEY (project_id, provider),
    CONSTRAINT pulls_project_id_provider_fkey FOREIGN KEY (project_id, provider)
        REFERENCES authsync.integrations (project_id, provider) ON DELETE CASCADE,
    CONSTRAINT pulls_cursor_check CHECK (cursor IS NULL OR origin IS NOT NULL),
    CONSTRAINT pulls_claimed_until_check CHECK ((claimed_by IS NULL) = (claimed_until IS NULL))
) WITH (fillfactor = 50);

COMMENT ON TABLE authsync.pulls IS 'Integrations whose events are, or were, pulled (option pull), and how far. For people there is the view pull_health.';
COMMENT ON COLUMN authsync.pulls.cursor IS 'The provider''s own mark of the last event that was stored; NULL: none was yet. It moves in the transaction that stores the events before it.';
COMMENT ON COLUMN authsync.pulls.origin IS 'Address of the provider that the cursor belongs to; at another address it means nothing.';
COMMENT ON COLUMN authsync.pulls.since IS 'From when on events are read as long as there is no cursor.';
COMMENT ON COLUMN authsync.pulls.messages IS 'How many messages were stored in the inbox.';
COMMENT ON COLUMN authsync.pulls.claimed_by IS 'The puller, one per process, that may connect and move the cursor; NULL: none.';
COMMENT ON COLUMN authsync.pulls.claimed_until IS 'When another may take it, unless the puller renews it, which it does every second.';
COMMENT ON COLUMN authsync.pulls.connected_since IS 'Since when the provider has accepted every connection; NULL: it did not accept the last one, or there was none.';
COMMENT ON COLUMN authsync.pulls.last_ended_at IS 'When the last connection ended; those that have waited longest come first.';
COMMENT ON COLUMN authsync.pulls.retry_at IS 'No connection before this; NULL: at once.';
COMMENT ON COLUMN authsync.pulls.wait_reason IS 'What is wrong; NULL: nothing is.';
COMMENT ON COLUMN authsync.pulls.reconcile_due IS 'Events were lost, and the reconcile that finds what they said has not been started yet.';
COMMENT ON COLUMN authsync.pulls.lost_at IS 'When events were lost last, because the provider no longer had them, or left them out.';
