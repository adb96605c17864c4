-- PostgreSQL lets everybody call a new function. Ours are for the role that owns the
-- mirror, and for those to whom `authsync grant` gives some of them. Only what authsync has made
-- is touched, and only where the right is there: a right that is taken away again is a row written for nothing.
DO $do$
DECLARE
    v_routine text;
BEGIN
    FOR v_routine IN
        SELECT p.oid::regprocedure::text
        FROM capydb_auth.schema_objects AS o
        JOIN pg_catalog.pg_proc AS p
          ON p.oid = CASE WHEN o.kind IN ('function', 'procedure') THEN to_regprocedure(o.identity) END
        WHERE EXISTS (
            SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
            WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
        ORDER BY 1
    LOOP
        EXECUTE 'REVOKE EXECUTE ON ROUTINE ' || v_routine || ' FROM PUBLIC';
    END LOOP;
END;
$do$;
