-- record_rejected_requests stores requests that a receiver rejected, and deletes the oldest ones
-- beyond a limit per provider of a project.
--
-- Repeatable: no, each call adds rows.
-- Order:      rows keep the order of the array. Concurrent calls add up.
-- Result:     the number of rows added; those of deleted projects are skipped.
--
-- p_requests is an array of objects with the columns of authsync.rejected_requests, except id.
CREATE OR REPLACE FUNCTION authsync.record_rejected_requests(
    p_requests jsonb,
    p_keep     integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
    v_added bigint;
BEGIN
    INSERT INTO authsync.rejected_requests (
        project_id, provider, received_at, status, reason, detail, body_bytes, header_names, remote_address, request_count
    )
    SELECT
        p.id, r.provider, r.received_at, r.status, r.reason, r.detail, r.body_bytes, r.header_names, r.remote_address, r.request_count
    FROM ROWS FROM (
        jsonb_to_recordset(p_requests) AS (
            project_id uuid, provider text, received_at timestamptz, status integer, reason text, detail text,
            body_bytes bigint, header_names text[], remote_address inet, request_count bigint
        )
    ) WITH ORDINALITY AS r (
        project_id, provider, received_at, status, reason, detail, body_bytes, header_names, remote_address, request_count, place
    )
    JOIN authsync.projects AS p ON p.id = r.project_id
    ORDER BY r.place;
    GET DIAGNOSTICS v_added = ROW_COUNT;

    DELETE FROM authsync.rejected_requests AS old
    USING (
        SELECT DISTINCT r.project_id, r.provider
        FROM jsonb_to_recordset(p_requests) AS r (project_id uuid, provider text)
    ) AS touched
    CROSS JOIN LATERAL (
        SELECT k.id
        FROM authsync.rejected_requests AS k
        WHERE k.project_id = touched.project_id AND k.provider = touched.provider
        ORDER BY k.id DESC
        OFFSET p_keep - 1
        LIMIT 1
    ) AS oldest
    WHERE old.project_id = touched.project_id AND old.provider = touched.provider AND old.id < oldest.id;

    RETURN v_added;
END;
$fn$;

COMMENT ON FUNCTION authsync.record_rejected_requests(jsonb, integer)
    IS 'Stores requests that a receiver rejected; keeps the newest of each provider of a project.';
