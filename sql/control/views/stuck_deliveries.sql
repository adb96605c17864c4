-- stuck_deliveries shows deliveries that have neither an outcome nor a job that
-- will give them one. It should be empty: a delivery and its job are one commit.
-- Jobs that somebody deleted or cancelled leave such deliveries; mend_inbox makes new jobs
-- for them in some minutes, and `authsync events replay` at once.
--
-- It reads the whole inbox; give it a received_at to read less.
CREATE OR REPLACE VIEW authsync.stuck_deliveries AS
WITH live AS MATERIALIZED (
    SELECT range_agg(u.ids) AS ids
    FROM authsync.river_job AS r
    CROSS JOIN LATERAL unnest((r.args ->> 'inbox_ids')::int8multirange) AS u (ids)
    WHERE r.kind = 'apply_deliveries' AND r.finalized_at IS NULL
)
SELECT
    i.id AS inbox_id,
    i.project_id,
    p.name AS project,
    i.provider,
    i.received_at,
    i.delivery_id
FROM authsync.inbox AS i
CROSS JOIN live
LEFT JOIN authsync.projects AS p ON p.id = i.project_id
WHERE NOT EXISTS (
        SELECT FROM authsync.event_outcomes AS e WHERE e.inbox_id = i.id AND e.received_at = i.received_at
    )
    AND NOT coalesce(i.id <@ live.ids, false);

COMMENT ON VIEW authsync.stuck_deliveries IS 'Deliveries without outcome that no job covers; empty when all is well. mend_inbox takes them up in some minutes.';
