-- Removes organizations, memberships and invitations.
DROP TABLE capydb_auth.invitations;
DROP TABLE capydb_auth.memberships;
DROP TABLE capydb_auth.organizations;
