-- membership_id gives the id by which events, changes and people name a membership: organization_id/user_id, with a
-- slash in the former as %2F and a percent sign as %25, so that no two memberships share an id.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     the id; record.MembershipID in Go gives the same.
CREATE OR REPLACE FUNCTION capydb_auth.membership_id(
    p_organization_id text,
    p_user_id         text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $fn$
    SELECT replace(replace(p_organization_id, '%', '%25'), '/', '%2F') || '/' || p_user_id;
$fn$;

COMMENT ON FUNCTION capydb_auth.membership_id(text, text)
    IS 'The id of a membership: organization_id/user_id, escaped so that no two share one.';
