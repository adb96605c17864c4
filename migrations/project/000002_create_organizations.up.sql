-- The mirror: organizations, who belongs to them, and who is invited.
--
-- Why:   which rows a user may see often depends on the organizations that he belongs to. As for users, the versions in the
--        last columns let events be applied in any order; so there are no foreign keys between these tables.
-- Locks: nothing of note, the tables are new.

CREATE TABLE capydb_auth.organizations (
    id                   text NOT NULL,
    name                 text,
    slug                 text,
    image_url            text,
    created_at           timestamptz,
    updated_at           timestamptz,
    deleted_at           timestamptz,
    raw                  jsonb,
    provider             text,
    last_event_processed timestamptz,
    placeholder_since    timestamptz,
    last_event_id        text COLLATE "C",
    last_event_sent_at   timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    last_event_fields    integer NOT NULL DEFAULT 0,
    field_versions       jsonb,
    CONSTRAINT organizations_pkey PRIMARY KEY (id)
)
WITH (fillfactor = 70);

COMMENT ON TABLE capydb_auth.organizations IS 'The organizations of the identity provider. Maintained by authsync: read it, join it, reference it, do not write to it.';
COMMENT ON COLUMN capydb_auth.organizations.id IS 'The provider''s id of the organization.';
COMMENT ON COLUMN capydb_auth.organizations.name IS 'Name as shown to people.';
COMMENT ON COLUMN capydb_auth.organizations.slug IS 'Name as used in URLs; not unique.';
COMMENT ON COLUMN capydb_auth.organizations.image_url IS 'URL of the logo.';
COMMENT ON COLUMN capydb_auth.organizations.created_at IS 'When the organization was created at the provider, where the provider reports it.';
COMMENT ON COLUMN capydb_auth.organizations.updated_at IS 'When the organization was last changed at the provider, where the provider reports it.';
COMMENT ON COLUMN capydb_auth.organizations.deleted_at IS 'When the organization was deleted at the provider; NULL while it exists.';
COMMENT ON COLUMN capydb_auth.organizations.raw IS 'The provider''s organization object.';
COMMENT ON COLUMN capydb_auth.organizations.provider IS 'The provider of the newest event about the organization; NULL for a placeholder.';
COMMENT ON COLUMN capydb_auth.organizations.last_event_processed IS 'Provider clock of the newest event about the organization; NULL for a placeholder.';
COMMENT ON COLUMN capydb_auth.organizations.placeholder_since IS 'When ensure_organization created the row, so that a foreign key need not wait for a webhook; NULL once an event about the organization was applied.';
COMMENT ON COLUMN capydb_auth.organizations.last_event_id IS 'The event that set the columns in last_event_fields.';
COMMENT ON COLUMN capydb_auth.organizations.last_event_sent_at IS 'When that event was sent: the second part of its version.';
COMMENT ON COLUMN capydb_auth.organizations.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';
COMMENT ON COLUMN capydb_auth.organizations.field_versions IS 'What last_event_fields cannot say; see organization_sources and merge_record.';

CREATE INDEX organizations_slug_idx ON capydb_auth.organizations (slug);

-- Likewise by how their name begins; see users_name_idx.
CREATE INDEX organizations_name_idx ON capydb_auth.organizations ((lower("left"(name, 64)) COLLATE "C"), id) WHERE name IS NOT NULL;

CREATE INDEX organizations_placeholders_idx ON capydb_auth.organizations (placeholder_since) WHERE placeholder_since IS NOT NULL;

CREATE TABLE capydb_auth.memberships (
    organization_id      text NOT NULL,
    user_id              text NOT NULL,
    id                   text,
    role                 text,
    roles                text[],
    permissions          text[],
    created_at           timestamptz,
    updated_at           timestamptz,
    deleted_at           timestamptz,
    raw                  jsonb,
    provider             text,
    last_event_processed timestamptz,
    own_deleted_at       timestamptz,
    last_event_id        text COLLATE "C",
    last_event_sent_at   timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    last_event_fields    integer NOT NULL DEFAULT 0,
    field_versions       jsonb,
    CONSTRAINT memberships_pkey PRIMARY KEY (organization_id, user_id)
)
WITH (fillfactor = 70);

COMMENT ON TABLE capydb_auth.memberships IS 'Which users belong to which organizations, and with which roles. A row may come before its user or organization. Maintained by authsync: read it, do not write to it.';
COMMENT ON COLUMN capydb_auth.memberships.organization_id IS 'organizations.id.';
COMMENT ON COLUMN capydb_auth.memberships.user_id IS 'users.id.';
COMMENT ON COLUMN capydb_auth.memberships.id IS 'The provider''s id of the membership, where it has one.';
COMMENT ON COLUMN capydb_auth.memberships.role IS 'The role as the provider spells it, where a member has one; NULL where roles are assigned one by one (Auth0).';
COMMENT ON COLUMN capydb_auth.memberships.roles IS 'All roles; NULL: the provider has not said.';
COMMENT ON COLUMN capydb_auth.memberships.permissions IS 'All permissions, where the provider reports them.';
COMMENT ON COLUMN capydb_auth.memberships.created_at IS 'When the user became a member, where the provider reports it.';
COMMENT ON COLUMN capydb_auth.memberships.updated_at IS 'When the membership was last changed at the provider, where the provider reports it.';
COMMENT ON COLUMN capydb_auth.memberships.deleted_at IS 'When the membership, its organization or its user was deleted, whichever was first; NULL while all three exist.';
COMMENT ON COLUMN capydb_auth.memberships.raw IS 'The provider''s membership object.';
COMMENT ON COLUMN capydb_auth.memberships.provider IS 'The provider of the newest event about the membership.';
COMMENT ON COLUMN capydb_auth.memberships.last_event_processed IS 'Provider clock of the newest event about the membership.';
COMMENT ON COLUMN capydb_auth.memberships.last_event_id IS 'The event that set the columns in last_event_fields.';
COMMENT ON COLUMN capydb_auth.memberships.last_event_sent_at IS 'When that event was sent: the second part of its version.';
COMMENT ON COLUMN capydb_auth.memberships.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';
COMMENT ON COLUMN capydb_auth.memberships.field_versions IS 'What last_event_fields cannot say; see membership_sources and merge_record.';
COMMENT ON COLUMN capydb_auth.memberships.own_deleted_at IS 'When the membership itself was deleted: what deleted_at falls back to when its organization or user is restored.';

-- The primary key finds the members of an organization, this one the organizations of a user.
CREATE INDEX memberships_user_idx ON capydb_auth.memberships (user_id, organization_id);

CREATE TABLE capydb_auth.invitations (
    id                   text NOT NULL,
    organization_id      text,
    email                text,
    role                 text,
    status               text,
    expires_at           timestamptz,
    created_at           timestamptz,
    updated_at           timestamptz,
    deleted_at           timestamptz,
    raw                  jsonb,
    provider             text,
    last_event_processed timestamptz,
    last_event_id        text COLLATE "C",
    last_event_sent_at   timestamptz,
    -- squawk-ignore prefer-bigint-over-int
    last_event_fields    integer NOT NULL DEFAULT 0,
    field_versions       jsonb,
    CONSTRAINT invitations_pkey PRIMARY KEY (id)
)
WITH (fillfactor = 70);

COMMENT ON TABLE capydb_auth.invitations IS 'Invitations to organizations. Maintained by authsync: read it, do not write to it.';
COMMENT ON COLUMN capydb_auth.invitations.id IS 'The provider''s id of the invitation.';
COMMENT ON COLUMN capydb_auth.invitations.organization_id IS 'organizations.id.';
COMMENT ON COLUMN capydb_auth.invitations.email IS 'The address that was invited, spelled as at the provider.';
COMMENT ON COLUMN capydb_auth.invitations.role IS 'The role that was offered.';
COMMENT ON COLUMN capydb_auth.invitations.status IS 'As the provider spells it: pending, accepted, revoked ….';
COMMENT ON COLUMN capydb_auth.invitations.expires_at IS 'Until when the invitation can be accepted.';
COMMENT ON COLUMN capydb_auth.invitations.created_at IS 'When the invitation was made.';
COMMENT ON COLUMN capydb_auth.invitations.updated_at IS 'When the invitation was last changed at the provider, where the provider reports it.';
COMMENT ON COLUMN capydb_auth.invitations.deleted_at IS 'When the invitation was deleted at the provider; one that was revoked has a status instead.';
COMMENT ON COLUMN capydb_auth.invitations.raw IS 'The provider''s invitation object, without what one can join with.';
COMMENT ON COLUMN capydb_auth.invitations.provider IS 'The provider of the newest event about the invitation.';
COMMENT ON COLUMN capydb_auth.invitations.last_event_processed IS 'Provider clock of the newest event about the invitation.';
COMMENT ON COLUMN capydb_auth.invitations.last_event_id IS 'The event that set the columns in last_event_fields.';
COMMENT ON COLUMN capydb_auth.invitations.last_event_sent_at IS 'When that event was sent: the second part of its version.';
COMMENT ON COLUMN capydb_auth.invitations.last_event_fields IS 'The columns whose version is (last_event_processed, last_event_sent_at, last_event_id), as a sum; see users.last_event_fields.';
COMMENT ON COLUMN capydb_auth.invitations.field_versions IS 'What last_event_fields cannot say; see invitation_sources and merge_record.';

-- With the id, a page of a list is read from the index alone, however many invitations there are.
CREATE INDEX invitations_organization_idx ON capydb_auth.invitations (organization_id, id);
CREATE INDEX invitations_email_idx ON capydb_auth.invitations (lower(email), id);
