-- Webhooks that authsync sets up at the providers by itself, and how far each is.
--
-- Why:   setting one up takes several calls of the provider's API, which may fail or be cut off between
--        any two; a job goes on from what is recorded here.
-- Locks: integrations for a moment, for the foreign key; the table is new.

CREATE TABLE authsync.provisioned_webhooks (
    project_id          uuid        NOT NULL,
    provider            text        NOT NULL,
    state               text        NOT NULL DEFAULT 'pending',
    request_seq         bigint      NOT NULL DEFAULT 1,
    problem             text,
    missing_permissions text[]      NOT NULL DEFAULT '{}',
    allowed_at          timestamptz,
    webhook_id          text,
    is_made             boolean     NOT NULL DEFAULT false,
    url                 text,
    event_types         text[]      NOT NULL DEFAULT '{}',
    ensured_at          timestamptz,
    test_event_id       text,
    test_sent_at        timestamptz,
    arrived_at          timestamptz,
    differences         text[]      NOT NULL DEFAULT '{}',
    compared_at         timestamptz,
    lease               uuid,
    leased_until        timestamptz,
    requested_at        timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provisioned_webhooks_pkey PRIMARY KEY (project_id, provider),
    CONSTRAINT provisioned_webhooks_integration_fkey FOREIGN KEY (project_id, provider)
        REFERENCES authsync.integrations (project_id, provider) ON DELETE CASCADE,
    CONSTRAINT provisioned_webhooks_state_check CHECK (state IN ('pending', 'testing', 'ready', 'blocked'))
);

COMMENT ON TABLE authsync.provisioned_webhooks IS 'Webhooks that authsync sets up at the providers by itself, one row per integration that ever asked for it.';
COMMENT ON COLUMN authsync.provisioned_webhooks.state IS 'pending: to be set up, or changed; testing: a test event is under way; ready; blocked: a person has to act, see problem.';
COMMENT ON COLUMN authsync.provisioned_webhooks.request_seq IS 'Grows with each request: what was done for an earlier one says nothing about this one.';
COMMENT ON COLUMN authsync.provisioned_webhooks.problem IS 'Why it is not ready; NULL: nothing is known to be wrong.';
COMMENT ON COLUMN authsync.provisioned_webhooks.missing_permissions IS 'The permissions that the credentials lack at the provider; nothing is changed there before they have them.';
COMMENT ON COLUMN authsync.provisioned_webhooks.allowed_at IS 'When the credentials were found to have all permissions.';
COMMENT ON COLUMN authsync.provisioned_webhooks.webhook_id IS 'The provider''s id of the webhook; NULL: none is known.';
COMMENT ON COLUMN authsync.provisioned_webhooks.is_made IS 'Whether authsync created it. One that it found is never removed.';
COMMENT ON COLUMN authsync.provisioned_webhooks.url IS 'Where it was last set to go.';
COMMENT ON COLUMN authsync.provisioned_webhooks.event_types IS 'The types that it was last set to send.';
COMMENT ON COLUMN authsync.provisioned_webhooks.ensured_at IS 'When it was last made what it should be.';
COMMENT ON COLUMN authsync.provisioned_webhooks.test_event_id IS 'The provider''s id of the test event: an event id, or a message id.';
COMMENT ON COLUMN authsync.provisioned_webhooks.arrived_at IS 'When the test event was found in the inbox.';
COMMENT ON COLUMN authsync.provisioned_webhooks.differences IS 'What the last comparison found to differ at the provider.';
COMMENT ON COLUMN authsync.provisioned_webhooks.compared_at IS 'When the webhook was last compared with what it should be.';
COMMENT ON COLUMN authsync.provisioned_webhooks.lease IS 'Who may change the webhook at the provider now; NULL: nobody does.';
