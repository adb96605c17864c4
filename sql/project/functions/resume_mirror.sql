-- resume_mirror lets a mirror that was restored or recreated be written to again: the next call
-- counts as following all that are known, and the ids of coming changes are
-- greater than those that were given before, whose readers must not see them again with another meaning.
--
-- Repeatable: yes; numbers only grow.
-- Order:      when the loss is on record, or nobody would learn of it.
-- Result:     the epoch of the mirror, and its new count of calls.
CREATE OR REPLACE FUNCTION capydb_auth.resume_mirror(
    p_applied_to bigint,
    p_change_id  bigint
)
RETURNS TABLE (epoch uuid, applied_to bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
#variable_conflict use_column
BEGIN
    PERFORM capydb_auth.skip_change_ids(p_change_id);

    RETURN QUERY
    INSERT INTO capydb_auth.mirror_progress AS p (applied_to)
    VALUES (p_applied_to + 1)
    ON CONFLICT (singleton) DO UPDATE SET applied_to = greatest(p.applied_to, p_applied_to) + 1
    RETURNING p.epoch, p.applied_to;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.resume_mirror(bigint, bigint)
    IS 'Lets a mirror that was restored or recreated be written to again.';
