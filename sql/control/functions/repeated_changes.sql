-- repeated_changes looks which changes a repaired mirror has made once more, under new ids, and what
-- had become of them at a destination.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     one row a change: when its event was final before the loss was found, NULL if it was not (of a clone, which has no
--             events and copies changes with their times: when the change was made, if that was before); the
--             delivery of the lost change, if the destination has one; whether a backfill or a reconcile of
--             the provider that began after the loss had ended before the change; whether the destination
--             knew the record before the loss, by a delivery or by a change that it had passed.
CREATE OR REPLACE FUNCTION authsync.repeated_changes(
    p_destination_id   uuid,
    p_lost_to          bigint,
    p_found_at         timestamptz,
    p_change_ids       bigint[],
    p_record_types     text[],
    p_record_ids       text[],
    p_user_ids         text[],
    p_organization_ids text[],
    p_event_ids        text[],
    p_providers        text[],
    p_changed_at       timestamptz[]
)
RETURNS TABLE (change_id bigint, applied_at timestamptz, delivery_id bigint, delivery_state text, is_complete boolean, is_known boolean)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $fn$
BEGIN
    RETURN QUERY
    WITH change AS MATERIALIZED (
        SELECT c.*
        FROM unnest(p_change_ids, p_record_types, p_record_ids, p_user_ids, p_organization_ids, p_event_ids, p_providers, p_changed_at)
            AS c (id, record_type, record_id, user_id, organization_id, event_id, provider, changed_at)
    ),
    -- A clone that stands still may have integrations of its own; what these bring is not copied.
    copied AS MATERIALIZED (
        SELECT p.provider
        FROM (SELECT DISTINCT c.provider FROM change AS c) AS p
        JOIN authsync.destinations AS d ON d.id = p_destination_id
        JOIN authsync.clones AS s ON s.project_id = d.project_id
        WHERE NOT EXISTS (
            SELECT FROM authsync.integrations AS i WHERE i.project_id = d.project_id AND i.provider = p.provider
        )
    ),
    -- One look for each record, however many changes of it are asked about.
    subject AS MATERIALIZED (
        SELECT
            d.project_id, c.record_type, c.record_id, min(c.user_id) AS user_id, min(c.organization_id) AS organization_id,
            array_agg(c.event_id) AS event_ids
        FROM change AS c
        JOIN authsync.destinations AS d ON d.id = p_destination_id
        GROUP BY d.project_id, c.record_type, c.record_id
    ),
    -- The event of a membership's change may be one about its user or its organization, whose deletion it shares.
    outcome AS MATERIALIZED (
        SELECT p.record_type, p.record_id, e.event_id, min(e.applied_at) AS applied_at
        FROM subject AS p
        CROSS JOIN LATERAL (
            SELECT o.event_id, o.applied_at
            FROM authsync.event_outcomes AS o
            WHERE p.record_type IN ('user', 'membership') AND o.project_id = p.project_id AND o.user_id = p.user_id
              AND o.record_type IS NULL AND o.event_id = ANY (p.event_ids) AND o.applied_at < p_found_at
            UNION ALL
            SELECT o.event_id, o.applied_at
            FROM authsync.event_outcomes AS o
            WHERE p.record_type <> 'user' AND o.project_id = p.project_id
              AND o.record_type = p.record_type AND o.record_id = p.record_id
              AND o.event_id = ANY (p.event_ids) AND o.applied_at < p_found_at
            UNION ALL
            SELECT o.event_id, o.applied_at
            FROM authsync.event_outcomes AS o
            -- By the ids of the events: what is IS NOT DISTINCT keeps plans from reading all events of the organization.
            WHERE p.record_type = 'membership' AND o.event_id = ANY (p.event_ids) AND o.applied_at < p_found_at
              AND o.project_id IS NOT DISTINCT FROM p.project_id
              AND o.record_type IS NOT DISTINCT FROM 'organization' AND o.record_id IS NOT DISTINCT FROM p.organization_id
        ) AS e
        GROUP BY p.record_type, p.record_id, e.event_id
    ),
    delivery AS MATERIALIZED (
        SELECT DISTINCT ON (p.record_type, p.record_id, e.event_id) p.record_type, p.record_id, e.event_id, e.id, e.state
        FROM subject AS p
        CROSS JOIN LATERAL (
            SELECT o.id, o.event_id, o.state
            FROM authsync.deliveries AS o
            WHERE o.project_id = p.project_id AND o.record_type = p.record_type AND o.record_id = p.record_id
              AND o.event_id = ANY (p.event_ids) AND o.destination_id = p_destination_id AND o.change_id <= p_lost_to
        ) AS e
        ORDER BY p.record_type, p.record_id, e.event_id, e.id
    ),
    known AS MATERIALIZED (
        SELECT p.record_type, p.record_id, delivered.found IS NOT NULL OR passed.found IS NOT NULL AS is_known
        FROM subject AS p
        JOIN authsync.destination_progress AS f ON f.destination_id = p_destination_id
        LEFT JOIN LATERAL (
            SELECT true AS found
            FROM authsync.deliveries AS o
            WHERE o.project_id = p.project_id AND o.record_type = p.record_type AND o.record_id = p.record_id
              AND o.destination_id = p_destination_id AND o.change_id <= p_lost_to
            LIMIT 1
        ) AS delivered ON true
        LEFT JOIN LATERAL (
            SELECT true AS found
            FROM (
                (SELECT
                FROM authsync.event_outcomes AS o
                WHERE p.record_type = 'user' AND o.project_id = p.project_id AND o.user_id = p.user_id AND o.record_type IS NULL
                  AND o.outcome = 'applied' AND o.applied_at < p_found_at AND o.applied_at < f.passed_until
                LIMIT 1)
                UNION ALL
                (SELECT
                FROM authsync.event_outcomes AS o
                WHERE p.record_type <> 'user' AND o.project_id = p.project_id
                  AND o.record_type = p.record_type AND o.record_id = p.record_id
                  AND o.outcome = 'applied' AND o.applied_at < p_found_at AND o.applied_at < f.passed_until
                LIMIT 1)
            ) AS o
            LIMIT 1
        ) AS passed ON delivered.found IS NULL
    ),
    -- The first of each provider's that has read all records of the type.
    run AS MATERIALIZED (
        SELECT b.provider, t.record_type, min(b.finished_at) AS finished_at
        FROM authsync.sync_runs AS b
        JOIN authsync.destinations AS d ON d.id = p_destination_id AND d.project_id = b.project_id
        CROSS JOIN (SELECT DISTINCT c.record_type FROM change AS c) AS t
        WHERE b.state = 'done' AND b.started_at >= p_found_at
          AND (t.record_type = 'user' OR b.report -> 'records' ? t.record_type)
        GROUP BY b.provider, t.record_type
    )
    SELECT
        c.id, coalesce(o.applied_at, CASE WHEN p.provider IS NOT NULL AND c.changed_at < p_found_at THEN c.changed_at END),
        d.id, d.state, p.provider IS NOT NULL OR coalesce(r.finished_at < c.changed_at, false),
        coalesce(k.is_known, false)
    FROM change AS c
    LEFT JOIN copied AS p ON p.provider = c.provider
    LEFT JOIN outcome AS o ON o.record_type = c.record_type AND o.record_id = c.record_id AND o.event_id = c.event_id
    LEFT JOIN delivery AS d ON d.record_type = c.record_type AND d.record_id = c.record_id AND d.event_id = c.event_id
    LEFT JOIN known AS k ON k.record_type = c.record_type AND k.record_id = c.record_id
    LEFT JOIN run AS r ON r.provider = c.provider AND r.record_type = c.record_type;
END;
$fn$;

COMMENT ON FUNCTION authsync.repeated_changes(
    uuid, bigint, timestamptz, bigint[], text[], text[], text[], text[], text[], text[], timestamptz[]
)
    IS 'Which changes a repaired mirror has made once more, and what had become of them at a destination.';
