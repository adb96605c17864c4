CREATE SCHEMA authsync;

COMMENT ON SCHEMA authsync IS 'authsync: inbox, projects and jobs.';

CREATE TYPE authsync.river_job_state AS ENUM (
    'available',
    'cancelled',
    'completed',
    'discarded',
    'pending',
    'retryable',
    'running',
    'scheduled'
);

CREATE FUNCTION authsync.abandon_inbox_rewrite(p_suffix text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET client_min_messages TO 'warning'
    AS $$
DECLARE
    v_parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        CONTINUE WHEN to_regclass(format('authsync.%I', v_parent || '_' || p_suffix || '_kept')) IS NULL;
        EXECUTE format('DROP TRIGGER note_inbox_change ON authsync.%I', v_parent || '_' || p_suffix);
        EXECUTE format('DROP TABLE authsync.%I', v_parent || '_' || p_suffix || '_kept');
    END LOOP;
    DELETE FROM authsync.inbox_rewrites AS r WHERE r.suffix = p_suffix;
    DELETE FROM authsync.inbox_rewrite_changes AS c WHERE c.suffix = p_suffix;
END;
$$;

COMMENT ON FUNCTION authsync.abandon_inbox_rewrite(p_suffix text) IS 'Removes what a rewrite of a day has made so far.';

CREATE FUNCTION authsync.add_attempt(p_log jsonb[], p_at timestamp with time zone, p_duration_ms bigint, p_outcome text, p_status integer, p_reason text, p_response text, p_sent jsonb) RETURNS jsonb[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT (array_append(
        CASE
            WHEN p_log[cardinality(p_log)] -> 'bodies' = p_sent -> 'bodies'
                THEN p_log[:cardinality(p_log) - 1] || (p_log[cardinality(p_log)] - 'bodies')
            ELSE p_log
        END,
        jsonb_strip_nulls(jsonb_build_object(
            'number', coalesce((p_log[cardinality(p_log)] ->> 'number')::bigint, 0) + 1,
            'attempted_at', p_at,
            'outcome', p_outcome,
            'status', p_status,
            'duration_ms', p_duration_ms,
            'reason', left(p_reason, 500),
            'response', left(p_response, 1000),
            'response_cut', CASE WHEN length(p_response) > 1000 THEN true END
        )) || coalesce(p_sent, '{}')
    ))[greatest(cardinality(p_log) - 8, 1):];
$$;

COMMENT ON FUNCTION authsync.add_attempt(p_log jsonb[], p_at timestamp with time zone, p_duration_ms bigint, p_outcome text, p_status integer, p_reason text, p_response text, p_sent jsonb) IS 'Adds an attempt to the log of a delivery.';

CREATE FUNCTION authsync.add_inbox_usage(p_usage jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
BEGIN
    INSERT INTO authsync.inbox_usage AS u (project_id, day, message_count, byte_count)
    SELECT p.id, a.began_at::date, sum(a.message_count), sum(a.byte_count)
    FROM jsonb_to_recordset(p_usage) AS a (project_id uuid, began_at timestamptz, message_count bigint, byte_count bigint)
    JOIN authsync.projects AS p ON p.id = a.project_id
    GROUP BY p.id, a.began_at::date
    ORDER BY p.id, a.began_at::date
    ON CONFLICT (project_id, day) DO UPDATE SET
        message_count = u.message_count + excluded.message_count,
        byte_count = u.byte_count + excluded.byte_count;

    INSERT INTO authsync.message_counts AS c (project_id, slot, began_at, message_count)
    SELECT DISTINCT ON (p.id, s.slot) p.id, s.slot, a.began_at, a.message_count
    FROM jsonb_to_recordset(p_usage) AS a (project_id uuid, began_at timestamptz, message_count bigint)
    JOIN authsync.projects AS p ON p.id = a.project_id
    CROSS JOIN LATERAL (SELECT (extract(epoch FROM a.began_at)::bigint / 900 % 96)::smallint AS slot) AS s
    ORDER BY p.id, s.slot, a.began_at DESC
    ON CONFLICT (project_id, slot) DO UPDATE SET
        began_at = excluded.began_at,
        message_count = excluded.message_count + CASE WHEN c.began_at = excluded.began_at THEN c.message_count ELSE 0 END
    WHERE c.began_at <= excluded.began_at;
END;
$$;

COMMENT ON FUNCTION authsync.add_inbox_usage(p_usage jsonb) IS 'Adds to what projects have stored in the inbox, and to how many messages they have received.';

CREATE FUNCTION authsync.add_past_deliveries(p_destination_id uuid, p_changes jsonb, p_now timestamp with time zone, p_newest bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND OR EXISTS (
        SELECT FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id AND f.cursor > p_newest
    ) THEN
        RETURN NULL;
    END IF;
    RETURN authsync.make_deliveries(p_destination_id, p_changes, p_now);
END;
$$;

COMMENT ON FUNCTION authsync.add_past_deliveries(p_destination_id uuid, p_changes jsonb, p_now timestamp with time zone, p_newest bigint) IS 'Makes deliveries of changes that a destination has passed already.';

CREATE FUNCTION authsync.audit_retention() RETURNS interval
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT interval '400 days';
$$;

COMMENT ON FUNCTION authsync.audit_retention() IS 'How long rows of authsync.audit_log are kept, and cannot be deleted.';

CREATE FUNCTION authsync.begin_deliveries(p_destination_id uuid, p_ids bigint[], p_coalesced bigint[], p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    -- Like all writers of several deliveries, to avoid deadlocks.
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    UPDATE authsync.deliveries AS d
    SET begun       = true,
        begun_at    = p_now,
        attempt_log = CASE
            WHEN d.begun_at IS NULL THEN d.attempt_log
            ELSE authsync.add_attempt(d.attempt_log, d.begun_at, NULL, 'unknown', NULL, NULL, NULL, NULL)
        END
    -- Written so that only the index on id can be used.
    WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id;
    UPDATE authsync.deliveries AS d
    SET begun = true
    WHERE d.id = ANY (p_coalesced) AND d.destination_id IS NOT DISTINCT FROM p_destination_id AND NOT d.begun;
END;
$$;

COMMENT ON FUNCTION authsync.begin_deliveries(p_destination_id uuid, p_ids bigint[], p_coalesced bigint[], p_now timestamp with time zone) IS 'Records, before they are sent, that deliveries may have arrived.';

CREATE FUNCTION authsync.begin_inbox_rewrite(p_suffix text, p_from_day date, p_to_day date, p_kept uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET lock_timeout TO '1500ms'
    AS $$
DECLARE
    v_parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        CONTINUE WHEN to_regclass(format('authsync.%I', v_parent || '_' || p_suffix || '_kept')) IS NOT NULL;
        -- With the indexes: ATTACH would build those that are missing, under its lock. The CHECK spares it a scan.
        EXECUTE format(
            'CREATE TABLE authsync.%I (LIKE authsync.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES,
                 CONSTRAINT day CHECK (received_at >= %L AND received_at < %L))',
            v_parent || '_' || p_suffix || '_kept', v_parent, p_from_day::timestamptz, p_to_day::timestamptz);
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_parent || '_' || p_suffix || '_kept',
            format('Will take the place of authsync.%s, with the rows of projects that keep them; see authsync.inbox_rewrites.',
                v_parent || '_' || p_suffix));
        EXECUTE format(
            'CREATE TRIGGER note_inbox_change AFTER INSERT OR UPDATE OR DELETE ON authsync.%I
                 FOR EACH ROW EXECUTE FUNCTION authsync.note_inbox_change(%L, %L)',
            v_parent || '_' || p_suffix, p_suffix, CASE v_parent WHEN 'inbox' THEN 'id' ELSE 'inbox_id' END);
    END LOOP;
    INSERT INTO authsync.inbox_rewrites (suffix, project_id)
    SELECT p_suffix, k.id FROM unnest(p_kept) AS k (id)
    ON CONFLICT (suffix, project_id) DO NOTHING;
END;
$$;

COMMENT ON FUNCTION authsync.begin_inbox_rewrite(p_suffix text, p_from_day date, p_to_day date, p_kept uuid[]) IS 'Makes the partitions that will take the place of those of a day.';

CREATE FUNCTION authsync.block_limit(p_scope text, p_bucket text, p_until timestamp with time zone, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    INSERT INTO authsync.rate_limits AS l (scope, bucket, blocked_until, reason)
    VALUES (p_scope, p_bucket, p_until, p_reason)
    ON CONFLICT (scope, bucket) DO UPDATE SET blocked_until = excluded.blocked_until, reason = excluded.reason
    WHERE l.blocked_until < excluded.blocked_until;
$$;

COMMENT ON FUNCTION authsync.block_limit(p_scope text, p_bucket text, p_until timestamp with time zone, p_reason text) IS 'Lets no request of an account''s class go before a time.';

CREATE FUNCTION authsync.bring_forward_jobs(p_longest interval, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_now     timestamptz := coalesce(p_now, clock_timestamp());
    v_forward bigint;
BEGIN
    UPDATE authsync.river_job AS j
    SET scheduled_at = v_now + interval '10 minutes'
    WHERE j.id = ANY (ARRAY(
            SELECT far.id
            FROM authsync.river_queue AS q
            CROSS JOIN unnest('{scheduled,retryable}'::authsync.river_job_state[]) AS s (state)
            CROSS JOIN generate_series(1, 4) AS p (priority)
            CROSS JOIN LATERAL (
                SELECT r.id
                FROM authsync.river_job AS r
                WHERE r.state = s.state AND r.queue = q.name AND r.priority = p.priority
                  AND r.scheduled_at > v_now + p_longest
                  AND r.scheduled_at > v_now + r.attempt ^ 4 * interval '1.1 seconds'
                ORDER BY r.scheduled_at DESC
                LIMIT 1000
            ) AS far
        ))
      AND j.state::text IN ('scheduled', 'retryable'); -- no index has it as text: a plan by it would read all that wait
    GET DIAGNOSTICS v_forward = ROW_COUNT;
    RETURN v_forward;
END;
$$;

COMMENT ON FUNCTION authsync.bring_forward_jobs(p_longest interval, p_now timestamp with time zone) IS 'Has jobs run soon that a wrong clock has put off.';

CREATE FUNCTION authsync.bump_directory_version() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE authsync.directory_version SET version = version + 1;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION authsync.bump_directory_version() IS 'Grows authsync.directory_version, so that every process reloads projects and integrations.';

CREATE FUNCTION authsync.cancel_delivery(p_project_id uuid, p_id bigint, p_now timestamp with time zone) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_destination_id uuid;
    v_was            authsync.deliveries;
    v_state          text;
BEGIN
    SELECT d.destination_id INTO v_destination_id
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    SELECT d.* INTO v_was
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    UPDATE authsync.deliveries AS d
    SET state = 'cancelled', next_attempt_at = NULL, finished_at = p_now
    -- Written so that only the index on id can be used.
    WHERE d.id = v_was.id AND (d.state || '') IN ('held', 'blocked', 'ready', 'retrying', 'failed')
    RETURNING d.state INTO v_state;
    IF NOT FOUND THEN
        RETURN v_was.state;
    END IF;
    IF v_was.state = 'held' THEN
        UPDATE authsync.deliveries AS d
        SET state = 'cancelled', reason = 'the deletion before it was cancelled while it was held back', finished_at = p_now
        -- By all columns of deliveries_withheld_idx and in the words of its predicate, so that no plan can walk over
        -- what else is held.
        WHERE d.held_from IS NOT NULL AND (d.state || '') IN ('held', 'cancelled') AND d.state IS NOT DISTINCT FROM 'held'
          AND (d.record_id, d.record_type, d.destination_id, d.change_id)
              > (v_was.record_id, v_was.record_type, v_destination_id, v_was.change_id)
          AND (d.record_id, d.record_type, d.destination_id, d.change_id)
              <= (v_was.record_id, v_was.record_type, v_destination_id, 9223372036854775807);
    END IF;

    IF authsync.promote_deliveries(v_destination_id, ARRAY[v_was.order_key]) > 0 THEN
        PERFORM authsync.request_delivery(v_destination_id);
    END IF;
    RETURN v_state;
END;
$$;

COMMENT ON FUNCTION authsync.cancel_delivery(p_project_id uuid, p_id bigint, p_now timestamp with time zone) IS 'Ends a delivery that is not finished, or failed; the next one with its order key goes.';

CREATE FUNCTION authsync.choose_probe(p_destination_id uuid) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;

    SELECT d.id INTO v_id
    FROM authsync.deliveries AS d
    WHERE d.destination_id = p_destination_id AND d.state = 'ready' AND d.last_attempt_at IS NULL
    ORDER BY d.change_id
    LIMIT 1;
    IF FOUND THEN
        RETURN v_id;
    END IF;

    SELECT o.id INTO v_id
    FROM (
        SELECT d.id, d.change_id, d.last_attempt_at
        FROM authsync.deliveries AS d
        WHERE d.destination_id = p_destination_id AND d.state = 'ready'
        UNION ALL
        SELECT d.id, d.change_id, d.last_attempt_at
        FROM authsync.deliveries AS d
        WHERE d.destination_id = p_destination_id AND d.state = 'retrying'
          -- Not one in flight.
          AND NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.state = 'running')
    ) AS o
    ORDER BY o.last_attempt_at, o.change_id
    LIMIT 1;
    PERFORM authsync.requeue_retrying_deliveries(p_destination_id, ARRAY[v_id]);
    RETURN v_id;
END;
$$;

COMMENT ON FUNCTION authsync.choose_probe(p_destination_id uuid) IS 'Chooses the delivery to probe a destination with.';

CREATE FUNCTION authsync.claim_idempotency_key(p_api_key_id uuid, p_key_hash bytea, p_request_hash bytea, p_claim uuid, p_busy_for interval, p_keep interval, p_most integer, p_now timestamp with time zone) RETURNS TABLE(result text, answer_sealed bytea)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_found authsync.idempotency_keys;
BEGIN
    DELETE FROM authsync.idempotency_keys AS k
    WHERE k.ctid = ANY (ARRAY(
        SELECT o.ctid
        FROM authsync.idempotency_keys AS o
        WHERE o.created_at < p_now - p_keep
        ORDER BY o.created_at
        LIMIT 100
        FOR UPDATE SKIP LOCKED
    ));
    DELETE FROM authsync.idempotency_keys AS k
    WHERE k.api_key_id = p_api_key_id AND k.key_hash = p_key_hash AND k.created_at < p_now - p_keep;

    LOOP
        SELECT k.* INTO v_found
        FROM authsync.idempotency_keys AS k
        WHERE k.api_key_id = p_api_key_id AND k.key_hash = p_key_hash;
        IF FOUND THEN
            result := CASE
                WHEN v_found.request_hash <> p_request_hash THEN 'reused'
                WHEN v_found.answer_sealed IS NOT NULL THEN 'answered'
                WHEN v_found.busy_until > p_now THEN 'busy'
                ELSE 'unknown'
            END;
            IF result = 'answered' THEN
                answer_sealed := v_found.answer_sealed;
            END IF;
            RETURN NEXT;
            RETURN;
        END IF;

        IF (SELECT count(*) FROM (
                SELECT FROM authsync.idempotency_keys AS k WHERE k.api_key_id = p_api_key_id LIMIT p_most
            ) AS existing) >= p_most THEN
            result := 'full';
            RETURN NEXT;
            RETURN;
        END IF;

        INSERT INTO authsync.idempotency_keys AS k (api_key_id, key_hash, request_hash, claim, busy_until, created_at)
        VALUES (p_api_key_id, p_key_hash, p_request_hash, p_claim, p_now + p_busy_for, p_now)
        ON CONFLICT (api_key_id, key_hash) DO NOTHING;
        IF FOUND THEN
            result := 'claimed';
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
END;
$$;

COMMENT ON FUNCTION authsync.claim_idempotency_key(p_api_key_id uuid, p_key_hash bytea, p_request_hash bytea, p_claim uuid, p_busy_for interval, p_keep interval, p_most integer, p_now timestamp with time zone) IS 'Lets one attempt at an API call proceed, and returns its answer to the others.';

CREATE FUNCTION authsync.claim_pulls(p_claimed_by uuid, p_limit integer, p_now timestamp with time zone, p_until timestamp with time zone) RETURNS TABLE(project_id uuid, provider text, cursor text, origin text, since timestamp with time zone, consecutive_failures bigint, reconcile_due boolean, changed_at timestamp with time zone)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    WITH free AS (
        SELECT p.project_id, p.provider, i.updated_at
        FROM authsync.pulls AS p
        JOIN authsync.integrations AS i ON i.project_id = p.project_id AND i.provider = p.provider
        WHERE i.options @> '{"pull": true}'
          AND (p.claimed_by IS NULL OR p.claimed_until <= p_now)
          AND (p.retry_at IS NULL OR p.retry_at <= p_now)
        ORDER BY p.last_ended_at NULLS FIRST, p.project_id, p.provider
        LIMIT p_limit
        FOR UPDATE OF p SKIP LOCKED
    )
    UPDATE authsync.pulls AS p
    SET claimed_by = p_claimed_by, claimed_until = p_until
    FROM free AS f
    WHERE p.project_id = f.project_id AND p.provider = f.provider
    RETURNING p.project_id, p.provider, p.cursor, p.origin, p.since, p.consecutive_failures, p.reconcile_due, f.updated_at;
END;
$$;

COMMENT ON FUNCTION authsync.claim_pulls(p_claimed_by uuid, p_limit integer, p_now timestamp with time zone, p_until timestamp with time zone) IS 'Gives a puller integrations whose events it may pull for a while.';

CREATE FUNCTION authsync.client_lock_key(p_client_id text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT hashtextextended('authsync client ' || p_client_id, 0);
$$;

COMMENT ON FUNCTION authsync.client_lock_key(p_client_id text) IS 'The key of the advisory lock that says that a River client lives.';

CREATE FUNCTION authsync.close_breaker(p_destination_id uuid, p_is_mended boolean) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    UPDATE authsync.destination_progress AS f
    SET consecutive_failures   = 0,
        breaker_failed_records = '{}',
        failing_since          = CASE WHEN p_is_mended THEN NULL ELSE f.failing_since END,
        breaker_open_until     = NULL,
        breaker_trips          = 0
    WHERE f.destination_id = p_destination_id;
$$;

COMMENT ON FUNCTION authsync.close_breaker(p_destination_id uuid, p_is_mended boolean) IS 'Closes the circuit breaker of a destination.';

CREATE FUNCTION authsync.copy_inbox_rows(p_suffix text, p_project_id uuid, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $_$
DECLARE
    v_after bigint;
    v_ids   bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    SELECT r.copied_to INTO v_after
    FROM authsync.inbox_rewrites AS r
    WHERE r.suffix = p_suffix AND r.project_id = p_project_id;
    IF v_after IS NULL THEN
        RETURN 0; -- abandoned
    END IF;
    EXECUTE format(
        'WITH copied AS (
             INSERT INTO authsync.%1$I
             SELECT i.* FROM authsync.%2$I AS i WHERE i.project_id = $1 AND i.id > $2 ORDER BY i.id LIMIT $3
             RETURNING id
         )
         SELECT coalesce(array_agg(c.id), ''{}'') FROM copied AS c', 'inbox_' || p_suffix || '_kept', 'inbox_' || p_suffix)
        INTO v_ids USING p_project_id, v_after, p_limit;
    EXECUTE format('INSERT INTO authsync.%I SELECT e.* FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)',
        'event_outcomes_' || p_suffix || '_kept', 'event_outcomes_' || p_suffix)
        USING v_ids;
    UPDATE authsync.inbox_rewrites AS r
    SET copied_to = coalesce((SELECT max(m.id) FROM unnest(v_ids) AS m (id)), 9223372036854775807)
    WHERE r.suffix = p_suffix AND r.project_id = p_project_id;
    RETURN cardinality(v_ids);
END;
$_$;

COMMENT ON FUNCTION authsync.copy_inbox_rows(p_suffix text, p_project_id uuid, p_limit integer) IS 'Copies the next messages of a project to the partition that will take the place of a day''s.';

CREATE FUNCTION authsync.drop_inbox_partition(p_suffix text, p_now timestamp with time zone, p_default interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '1500ms'
    AS $$
DECLARE
    v_from date;
    v_to   date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    IF to_regclass(format('authsync.%I', 'inbox_' || p_suffix)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE authsync.%I, authsync.%I IN SHARE MODE', 'inbox_' || p_suffix, 'event_outcomes_' || p_suffix);
    SELECT r.from_day, r.to_day INTO v_from, v_to
    FROM authsync.inbox_retention(p_now, p_default, p_suffix) AS r
    WHERE r.kept = '{}';
    IF v_from IS NULL THEN
        RETURN false;
    END IF;

    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY authsync.inbox, ONLY authsync.event_outcomes IN ACCESS EXCLUSIVE MODE;
    PERFORM authsync.abandon_inbox_rewrite(p_suffix);
    EXECUTE format('DROP TABLE authsync.%I, authsync.%I', 'inbox_' || p_suffix, 'event_outcomes_' || p_suffix);
    -- What is gone is used no longer.
    DELETE FROM authsync.inbox_usage AS u WHERE u.day >= v_from AND u.day < v_to;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION authsync.drop_inbox_partition(p_suffix text, p_now timestamp with time zone, p_default interval) IS 'Drops a partition of the inbox that no project keeps.';

CREATE FUNCTION authsync.due_reconciles(p_now timestamp with time zone) RETURNS TABLE(project_id uuid, provider text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT i.project_id, i.provider
    FROM authsync.integrations AS i
    CROSS JOIN LATERAL (
        SELECT
            coalesce(
                max(b.started_at) FILTER (WHERE b.kind = 'reconcile' AND b.options ->> 'dry_run' IS DISTINCT FROM 'true'),
                min(b.started_at) FILTER (WHERE b.kind = 'backfill')
            ) AS began,
            coalesce(bool_or(b.finished_at IS NULL), false) AS is_busy
        FROM authsync.sync_runs AS b
        WHERE b.project_id = i.project_id AND b.provider = i.provider
    ) AS last
    CROSS JOIN LATERAL (
        SELECT nullif(nullif(coalesce(i.options #>> '{reconcile,every}', i.reconcile_default), 'never'), '')::interval AS every
    ) AS schedule
    WHERE schedule.every IS NOT NULL
      AND NOT last.is_busy
      AND coalesce(last.began <= p_now - schedule.every, true)
    ORDER BY last.began NULLS FIRST, i.project_id, i.provider;
$$;

COMMENT ON FUNCTION authsync.due_reconciles(p_now timestamp with time zone) IS 'The integrations due for a reconcile.';

CREATE FUNCTION authsync.finish_if_idle(p_kind text, p_subject text, p_job_id bigint, p_attempted_at timestamp with time zone, p_now timestamp with time zone, p_complete boolean) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '100ms'
    AS $$
DECLARE
    v_request authsync.job_requests;
    v_args    jsonb;
BEGIN
    -- First without locks: those who are making work hold theirs until their commits.
    IF EXISTS (
        SELECT FROM authsync.river_job AS j
        WHERE j.id = p_job_id AND j.state IS NOT DISTINCT FROM 'running' AND j.attempted_at = p_attempted_at
    ) AND EXISTS (
        SELECT FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject AND r.job_id = p_job_id
    ) AND authsync.has_work(p_kind, p_subject) THEN
        RETURN 'busy';
    END IF;

    SELECT j.args INTO v_args
    FROM authsync.river_job AS j
    -- Written so that only the index on id can be used.
    WHERE j.id = p_job_id AND j.state IS NOT DISTINCT FROM 'running' AND j.attempted_at = p_attempted_at
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;

    BEGIN
        SELECT r.* INTO v_request
        FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject
        FOR UPDATE;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 'busy';
    END;
    IF v_request.job_id IS DISTINCT FROM p_job_id THEN
        IF v_request.job_id IS NULL THEN
            PERFORM authsync.request_job(p_kind, p_subject, v_args);
        END IF;
        RETURN 'lost';
    END IF;
    IF authsync.has_work(p_kind, p_subject) THEN
        RETURN 'busy';
    END IF;

    UPDATE authsync.job_requests AS r
    SET job_id = NULL, idle_since = p_now
    WHERE r.kind = p_kind AND r.subject = p_subject;
    IF p_complete THEN
        UPDATE authsync.river_job AS j
        SET state = 'completed', finalized_at = p_now
        WHERE j.id = p_job_id;
    END IF;
    RETURN 'idle';
END;
$$;

COMMENT ON FUNCTION authsync.finish_if_idle(p_kind text, p_subject text, p_job_id bigint, p_attempted_at timestamp with time zone, p_now timestamp with time zone, p_complete boolean) IS 'Ends the job of a subject unless there is more to do.';

CREATE FUNCTION authsync.finish_inbox_rewrite(p_suffix text, p_now timestamp with time zone, p_default interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET lock_timeout TO '1500ms'
    AS $$
DECLARE
    -- So many changes are followed within some milliseconds.
    v_few    CONSTANT integer := 1000;
    v_from   date;
    v_to     date;
    v_kept   uuid[];
    v_parent text;
    v_name   text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    IF to_regclass(format('authsync.%I', 'inbox_' || p_suffix || '_kept')) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE authsync.%I, authsync.%I IN SHARE MODE', 'inbox_' || p_suffix, 'event_outcomes_' || p_suffix);
    IF authsync.follow_inbox_rewrite(p_suffix, v_few) = v_few THEN
        RETURN false;
    END IF;
    SELECT r.from_day, r.to_day, r.kept INTO v_from, v_to, v_kept
    FROM authsync.inbox_retention(p_now, p_default, p_suffix) AS r;
    IF v_from IS NULL OR EXISTS (
        SELECT FROM unnest(v_kept) AS k (id)
        WHERE NOT EXISTS (
            SELECT FROM authsync.inbox_rewrites AS w
            WHERE w.suffix = p_suffix AND w.project_id = k.id AND w.copied_to = 9223372036854775807
        )
    ) THEN
        RETURN false;
    END IF;

    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY authsync.inbox, ONLY authsync.event_outcomes IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE authsync.inbox_default, authsync.event_outcomes_default IN ACCESS EXCLUSIVE MODE;
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        v_name := v_parent || '_' || p_suffix;
        EXECUTE format('DROP TABLE authsync.%I', v_name);
        EXECUTE format('ALTER TABLE authsync.%I RENAME TO %I', v_name || '_kept', v_name);
        EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I FOR VALUES FROM (%L) TO (%L)',
            v_parent, v_name, v_from::timestamptz, v_to::timestamptz);
        EXECUTE format('ALTER TABLE authsync.%I DROP CONSTRAINT day', v_name);
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_name,
            format('What projects keep of the part of authsync.%s that was received from %s to %s (UTC).', v_parent, v_from, v_to - 1));
    END LOOP;
    DELETE FROM authsync.inbox_rewrites AS r WHERE r.suffix = p_suffix;
    DELETE FROM authsync.inbox_rewrite_changes AS c WHERE c.suffix = p_suffix;
    -- What is gone is used no longer.
    DELETE FROM authsync.inbox_usage AS u WHERE u.day >= v_from AND u.day < v_to AND u.project_id <> ALL (v_kept);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION authsync.finish_inbox_rewrite(p_suffix text, p_now timestamp with time zone, p_default interval) IS 'Puts the copied rows in the place of a day''s partitions.';

CREATE FUNCTION authsync.follow_inbox_rewrite(p_suffix text, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $_$
DECLARE
    v_changes integer;
    v_ids     bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_rewrites', 0));
    IF to_regclass(format('authsync.%I', 'inbox_' || p_suffix || '_kept')) IS NULL THEN
        RETURN 0; -- abandoned
    END IF;
    WITH seen AS (
        DELETE FROM authsync.inbox_rewrite_changes AS c
        WHERE c.suffix = p_suffix AND c.id = ANY (ARRAY(
            SELECT o.id FROM authsync.inbox_rewrite_changes AS o WHERE o.suffix = p_suffix ORDER BY o.id LIMIT p_limit
        ))
        RETURNING c.inbox_id
    )
    SELECT count(*)::integer, coalesce(array_agg(DISTINCT s.inbox_id), '{}') INTO v_changes, v_ids FROM seen AS s;

    EXECUTE format('DELETE FROM authsync.%I AS i WHERE i.id = ANY ($1)', 'inbox_' || p_suffix || '_kept') USING v_ids;
    EXECUTE format('DELETE FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)', 'event_outcomes_' || p_suffix || '_kept') USING v_ids;
    -- What is not copied yet is copied later, as it is then.
    EXECUTE format(
        'WITH copied AS (
             INSERT INTO authsync.%1$I
             SELECT i.*
             FROM authsync.%2$I AS i
             JOIN authsync.inbox_rewrites AS r ON r.suffix = $2 AND r.project_id = i.project_id AND r.copied_to >= i.id
             WHERE i.id = ANY ($1)
             RETURNING id
         )
         SELECT coalesce(array_agg(c.id), ''{}'') FROM copied AS c', 'inbox_' || p_suffix || '_kept', 'inbox_' || p_suffix)
        INTO v_ids USING v_ids, p_suffix;
    EXECUTE format('INSERT INTO authsync.%I SELECT e.* FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)',
        'event_outcomes_' || p_suffix || '_kept', 'event_outcomes_' || p_suffix)
        USING v_ids;
    RETURN v_changes;
END;
$_$;

COMMENT ON FUNCTION authsync.follow_inbox_rewrite(p_suffix text, p_limit integer) IS 'Copies messages again that were changed since they were copied.';

CREATE FUNCTION authsync.halt_destination(p_destination_id uuid, p_state text, p_by text, p_reason text, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE authsync.destinations AS d
    SET state = p_state, state_by = p_by, state_reason = p_reason, state_since = p_now
    WHERE d.id = p_destination_id
      AND (p_by = 'user' OR d.state = 'active' OR (d.state = 'paused' AND d.state_by = 'system' AND p_state = 'disabled'));
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION authsync.halt_destination(p_destination_id uuid, p_state text, p_by text, p_reason text, p_now timestamp with time zone) IS 'Pauses or disables a destination; its deliveries are kept.';

CREATE FUNCTION authsync.halt_filter(p_destination_id uuid, p_event_types text[], p_fields text[], p_condition text, p_reason text, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE authsync.destinations AS d
    SET filter_halted = true
    WHERE d.id = p_destination_id AND d.event_types = p_event_types
      AND d.fields = p_fields AND d.condition IS NOT DISTINCT FROM p_condition;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM authsync.halt_destination(p_destination_id, 'paused', 'system', p_reason, p_now);
    RETURN true;
END;
$$;

COMMENT ON FUNCTION authsync.halt_filter(p_destination_id uuid, p_event_types text[], p_fields text[], p_condition text, p_reason text, p_now timestamp with time zone) IS 'Pauses a destination whose filter keeps costing workers; its changes stay unrelayed.';

CREATE FUNCTION authsync.has_work(p_kind text, p_subject text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
    CASE p_kind
        WHEN 'apply_inbox' THEN
            RETURN EXISTS (SELECT FROM authsync.inbox_pending AS p WHERE p.project_id = p_subject::uuid);
        WHEN 'deliver' THEN
            RETURN EXISTS (SELECT FROM authsync.destinations AS d WHERE d.id = p_subject::uuid AND d.state = 'active')
               AND EXISTS (SELECT FROM authsync.deliveries AS d WHERE d.destination_id = p_subject::uuid AND d.state = 'ready');
        WHEN 'refresh_users' THEN
            RETURN EXISTS (
                SELECT
                FROM authsync.refresh_requests AS w
                WHERE w.project_id = split_part(p_subject, '/', 1)::uuid AND w.provider = split_part(p_subject, '/', 2)
                  AND w.abandoned_at IS NULL
            );
        WHEN 'backfill' THEN
            RETURN EXISTS (SELECT FROM authsync.sync_runs AS b WHERE b.id = p_subject::uuid AND b.state IN ('running', 'waiting'));
        WHEN 'repair_mirror' THEN
            RETURN EXISTS (SELECT FROM authsync.mirror_repairs AS r WHERE r.project_id = p_subject::uuid AND r.finished_at IS NULL);
        WHEN 'erase_user' THEN
            RETURN EXISTS (SELECT FROM authsync.erasures AS e WHERE e.id = p_subject::uuid AND e.state = 'running');
        WHEN 'copy_mirror' THEN -- what a clone that follows has to do is known in its source's database only
            RETURN EXISTS (
                SELECT FROM authsync.clones AS c
                WHERE c.project_id = p_subject::uuid AND c.phase NOT IN ('following', 'still')
            );
        WHEN 'provision_webhook' THEN
            RETURN EXISTS (
                SELECT
                FROM authsync.provisioned_webhooks AS w
                JOIN authsync.integrations AS i ON i.project_id = w.project_id AND i.provider = w.provider
                WHERE w.project_id = split_part(p_subject, '/', 1)::uuid AND w.provider = split_part(p_subject, '/', 2)
                  AND w.state IN ('pending', 'testing') AND i.options ->> 'provision' = 'true'
            );
        ELSE
            RETURN false;
    END CASE;
END;
$$;

COMMENT ON FUNCTION authsync.has_work(p_kind text, p_subject text) IS 'Whether the job of a kind and subject has work.';

CREATE FUNCTION authsync.inbox_keep(p_project_id uuid, p_default interval) RETURNS interval
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT coalesce((SELECT make_interval(days => p.keep_inbox) FROM authsync.projects AS p WHERE p.id = p_project_id), p_default)
$$;

COMMENT ON FUNCTION authsync.inbox_keep(p_project_id uuid, p_default interval) IS 'How long a project''s messages are kept; NULL: forever.';

CREATE FUNCTION authsync.inbox_retention(p_now timestamp with time zone, p_default interval, p_suffix text DEFAULT NULL::text) RETURNS TABLE(suffix text, from_day date, to_day date, expired uuid[], kept uuid[], expired_messages bigint, kept_messages bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    AS $_$
DECLARE
    v_relation regclass;
    v_shorter  uuid[];
    v_found    boolean;
    v_present  uuid[];
    v_held     uuid[];
    v_total    bigint;
BEGIN
    FOR suffix, from_day, to_day, v_relation IN
        SELECT s.suffix, b.from_day, b.to_day, b.inbox_partition
        FROM authsync.inbox_bounds AS b
        JOIN pg_class AS c ON c.oid = b.inbox_partition
        CROSS JOIN LATERAL substring(c.relname FROM '^inbox_(\d{8,})$') AS s (suffix)
        WHERE b.to_day <= p_now::date AND s.suffix = coalesce(p_suffix, s.suffix)
        ORDER BY b.from_day
    LOOP
        IF (to_day <= (p_now - p_default)::date) IS NOT TRUE THEN
            v_shorter := ARRAY(
                SELECT p.id FROM authsync.projects AS p WHERE to_day <= (p_now - make_interval(days => p.keep_inbox))::date
            );
            EXECUTE format(
                'SELECT EXISTS (
                     SELECT FROM unnest($1) AS s (id)
                     CROSS JOIN LATERAL (SELECT FROM authsync.%I AS i WHERE i.project_id = s.id LIMIT 1) AS i
                 )', 'inbox_' || suffix)
                INTO v_found USING v_shorter;
            CONTINUE WHEN NOT v_found;
        END IF;

        -- From one project to the next, without the rows between.
        EXECUTE format(
            'WITH RECURSIVE p AS (
                 (SELECT i.project_id FROM authsync.%1$I AS i ORDER BY i.project_id LIMIT 1)
                 UNION ALL
                 SELECT (SELECT i.project_id FROM authsync.%1$I AS i WHERE i.project_id > p.project_id ORDER BY i.project_id LIMIT 1)
                 FROM p
                 WHERE p.project_id IS NOT NULL
             )
             SELECT coalesce(array_agg(p.project_id) FILTER (WHERE p.project_id IS NOT NULL), ''{}'') FROM p',
            'inbox_' || suffix)
            INTO v_present;
        v_held := ARRAY(SELECT u.project_id FROM authsync.inbox_unfinished(suffix, from_day, to_day) AS u);
        SELECT
            coalesce(array_agg(a.id) FILTER (WHERE a.is_over), '{}'),
            coalesce(array_agg(a.id) FILTER (WHERE NOT a.is_over), '{}')
        INTO expired, kept
        FROM (
            SELECT q.id, coalesce(to_day <= (p_now - authsync.inbox_keep(q.id, p_default))::date, false) AND q.id <> ALL (v_held) AS is_over
            FROM unnest(v_present) AS q (id)
        ) AS a;
        CONTINUE WHEN expired = '{}' AND v_present <> '{}';

        SELECT greatest(sum(u.message_count), (SELECT c.reltuples FROM pg_class AS c WHERE c.oid = v_relation), 0)::bigint,
            coalesce(sum(u.message_count) FILTER (WHERE u.project_id = ANY (kept)), 0)::bigint
        INTO v_total, kept_messages
        FROM authsync.inbox_usage AS u
        WHERE u.day >= from_day AND u.day < to_day;
        expired_messages := greatest(v_total - kept_messages, 0);
        RETURN NEXT;
    END LOOP;
END;
$_$;

COMMENT ON FUNCTION authsync.inbox_retention(p_now timestamp with time zone, p_default interval, p_suffix text) IS 'Tells which partitions of the inbox have rows past their retention, and which projects keep theirs.';

CREATE FUNCTION authsync.inbox_unfinished(p_suffix text, p_from_day date, p_to_day date) RETURNS TABLE(project_id uuid, waiting bigint, failed bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $_$
BEGIN
    FOR project_id, waiting, failed IN EXECUTE format(
        'SELECT u.project_id, count(*) FILTER (WHERE NOT u.is_failed), count(*) FILTER (WHERE u.is_failed)
         FROM (
             SELECT n.project_id, false AS is_failed
             FROM authsync.inbox_pending AS n
             CROSS JOIN LATERAL unnest(n.inbox_ids) AS m (id)
             JOIN authsync.%1$I AS i ON i.id = m.id
             WHERE n.received_to >= $1 AND n.received_from < $2
             UNION ALL
             SELECT e.project_id, false FROM authsync.%2$I AS e WHERE e.outcome = ''pending''
             UNION ALL
             SELECT e.project_id, true
             FROM authsync.%2$I AS e
             WHERE e.outcome = ''failed'' AND EXISTS (
                 SELECT FROM authsync.river_job AS r
                 WHERE r.kind = ''retry_event'' AND r.finalized_at IS NULL
                   AND r.args @> jsonb_build_object(''inbox_id'', e.inbox_id, ''ordinal'', e.ordinal))
         ) AS u
         JOIN authsync.projects AS p ON p.id = u.project_id
         GROUP BY u.project_id',
        'inbox_' || p_suffix, 'event_outcomes_' || p_suffix)
        USING p_from_day::timestamptz, p_to_day::timestamptz
    LOOP
        RETURN NEXT;
    END LOOP;
END;
$_$;

COMMENT ON FUNCTION authsync.inbox_unfinished(p_suffix text, p_from_day date, p_to_day date) IS 'Counts what is not finished of a partition of the inbox, by project.';

CREATE FUNCTION authsync.keep_default_partitions() RETURNS date
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
    -- So many rows move within some milliseconds.
    v_few       CONSTANT integer := 1000;
    v_parent    text;
    v_partition text;
    v_first     date;
    v_last      date;
    v_rows      bigint;
    v_bounds    text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));

    SELECT min(d.day), max(d.day), sum(d.rows)::bigint
    INTO v_first, v_last, v_rows
    FROM (
        SELECT i.received_at::date AS day, count(*) AS rows FROM authsync.inbox_default AS i GROUP BY 1
        UNION ALL
        SELECT e.received_at::date, count(*) FROM authsync.event_outcomes_default AS e GROUP BY 1
    ) AS d;
    IF v_rows IS NULL OR v_rows <= v_few THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM authsync.inbox_bounds AS b WHERE b.from_day <= v_last AND b.to_day > v_first) THEN
        RETURN NULL;
    END IF;

    v_bounds := format('FOR VALUES FROM (%L) TO (%L)', v_first::timestamptz, (v_last + 1)::timestamptz);
    FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
        v_partition := v_parent || '_' || to_char(v_last, 'YYYYMMDD');
        EXECUTE format('ALTER TABLE authsync.%I DETACH PARTITION authsync.%I', v_parent, v_parent || '_default');
        EXECUTE format('ALTER TABLE authsync.%I RENAME TO %I', v_parent || '_default', v_partition);
        EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I %s', v_parent, v_partition, v_bounds);
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_partition,
            format('The part of authsync.%s that was received from %s to %s (UTC).', v_parent, v_first, v_last));
        EXECUTE format('CREATE TABLE authsync.%I (LIKE authsync.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            v_parent || '_default', v_parent);
        EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I DEFAULT', v_parent, v_parent || '_default');
        EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_parent || '_default',
            format('What no partition of authsync.%s is for; empty when all is well.', v_parent));
    END LOOP;
    RETURN v_last;
END;
$$;

COMMENT ON FUNCTION authsync.keep_default_partitions() IS 'Makes default partitions of the inbox that hold many rows the partitions of their days; part of make_inbox_partitions.';

CREATE FUNCTION authsync.lease_destination(p_destination_id uuid, p_lease uuid, p_leased_by text, p_leased_job bigint, p_now timestamp with time zone, p_until timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE authsync.destination_progress AS f
    SET lease = p_lease, leased_by = p_leased_by, leased_job = p_leased_job, leased_until = p_until
    WHERE f.destination_id = p_destination_id
      AND (f.lease IS NULL OR f.lease = p_lease OR f.leased_until <= p_now);
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION authsync.lease_destination(p_destination_id uuid, p_lease uuid, p_leased_by text, p_leased_job bigint, p_now timestamp with time zone, p_until timestamp with time zone) IS 'Allows one run at a time to send to a destination.';

CREATE FUNCTION authsync.make_deliveries(p_destination_id uuid, p_changes jsonb, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $_$
DECLARE
    v_made bigint;
BEGIN
    -- Somebody may have confirmed, cancelled or replayed a deletion since the caller looked.
    IF p_changes @? '$[*].withheld' OR EXISTS (
        SELECT
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.held_from IS NOT NULL AND w.state IN ('held', 'cancelled')
    ) THEN
        IF EXISTS (
            WITH item AS MATERIALIZED (
                SELECT r.*, row_number() OVER (PARTITION BY r.record_type, r.record_id ORDER BY r.change_id) AS place
                FROM jsonb_to_recordset(p_changes) AS r (
                    change_id bigint, record_type text, record_id text, event_type text, delivery_id bigint, withheld bigint
                )
                WHERE r.delivery_id IS NULL
            )
            SELECT
            FROM item AS r
            LEFT JOIN LATERAL (
                SELECT w.change_id
                FROM authsync.deliveries AS w
                -- By all columns of the index, so that no plan can walk over what else is held.
                WHERE w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled')
                  AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (r.record_id, r.record_type, p_destination_id, 0)
                  AND (w.record_id, w.record_type, w.destination_id, w.change_id)
                      < (r.record_id, r.record_type, p_destination_id, r.change_id)
                ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
                LIMIT 1
            ) AS known ON true
            WHERE r.event_type <> 'user.erased' AND known.change_id IS DISTINCT FROM r.withheld
              AND CASE
                  WHEN r.withheld IS NULL THEN r.place = 1 -- behind others, it may be restored by one of them
                  ELSE NOT EXISTS (SELECT FROM item AS i WHERE i.change_id = r.withheld)
              END
        ) THEN
            RETURN NULL;
        END IF;
    END IF;

    UPDATE authsync.deliveries AS d
    SET change_id = r.change_id, first_change_id = NULL, begun = d.begun OR d.held_from IS NULL
    FROM jsonb_to_recordset(p_changes) AS r (change_id bigint, delivery_id bigint)
    CROSS JOIN LATERAL (SELECT o.id FROM authsync.deliveries AS o WHERE o.id = r.delivery_id LIMIT 1) AS known
    WHERE d.id = known.id AND d.destination_id IS NOT DISTINCT FROM p_destination_id;

    INSERT INTO authsync.deliveries (
        project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at, event_id,
        state, held_from, reason, created_at, finished_at
    )
    SELECT
        c.project_id, p_destination_id, c.change_id, c.record_type, c.record_id, c.user_id, c.order_key, c.event_type, c.changed,
        c.changed_at, c.event_id,
        CASE
            WHEN c.is_cancelled THEN 'cancelled'
            WHEN c.reason IS NOT NULL THEN 'failed'
            WHEN c.held_from IS NOT NULL THEN 'held'
            WHEN c.place = 1 AND under_way.found IS NULL AND blocked.found IS NULL THEN 'ready'
            ELSE 'blocked'
        END,
        c.held_from,
        c.reason,
        p_now,
        CASE WHEN c.reason IS NOT NULL THEN p_now END
    FROM (
        SELECT
            k.*,
            row_number() OVER (PARTITION BY k.order_key, k.reason IS NULL AND k.held_from IS NULL ORDER BY k.change_id) AS place
        FROM (
            SELECT
                d.project_id, r.change_id, r.record_type, r.record_id, r.user_id, r.event_type, r.changed, r.changed_at, r.event_id,
                r.reason, r.held_from, coalesce(r.is_cancelled, false) AS is_cancelled,
                coalesce(
                    unfinished.order_key,
                    first_value(r.order_key) OVER (PARTITION BY r.record_type, r.record_id ORDER BY r.change_id)
                ) AS order_key
            FROM jsonb_to_recordset(p_changes) AS r (
                change_id bigint, record_type text, record_id text, user_id text, order_key text, event_type text, changed text[],
                changed_at timestamptz, event_id text, reason text, delivery_id bigint, held_from timestamptz, is_cancelled boolean
            )
            JOIN authsync.destinations AS d ON d.id = p_destination_id
            -- The limits keep these one index lookup per change, however many wait; see promote_deliveries.
            LEFT JOIN LATERAL (
                SELECT true AS found
                FROM authsync.deliveries AS o
                WHERE o.destination_id = p_destination_id AND o.change_id = r.change_id
                LIMIT 1
            ) AS made ON true
            LEFT JOIN LATERAL (
                SELECT u.order_key
                FROM authsync.deliveries AS u
                -- By all columns of the index, so that no plan can walk over what else waits.
                WHERE (u.record_id, u.record_type, u.destination_id, u.change_id) >= (r.record_id, r.record_type, p_destination_id, 0)
                  AND (u.record_id, u.record_type, u.destination_id, u.change_id)
                      <= (r.record_id, r.record_type, p_destination_id, 9223372036854775807)
                  AND u.finished_at IS NULL
                LIMIT 1
            ) AS unfinished ON true
            WHERE made.found IS NULL AND r.delivery_id IS NULL
        ) AS k
    ) AS c
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS u
        WHERE u.destination_id = p_destination_id AND u.order_key = c.order_key AND u.state IN ('ready', 'retrying')
        LIMIT 1
    ) AS under_way ON true
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS u
        WHERE u.destination_id = p_destination_id AND u.order_key = c.order_key AND u.state = 'blocked'
        LIMIT 1
    ) AS blocked ON true
    ORDER BY c.change_id;

    GET DIAGNOSTICS v_made = ROW_COUNT;

    IF p_changes @? '$[*].is_undo' THEN
        WITH undone AS MATERIALIZED (
            -- Each by the first change that restores its record.
            SELECT DISTINCT ON (w.id) w.id, w.change_id, r.change_id AS by_change
            FROM jsonb_to_recordset(p_changes) AS r (change_id bigint, record_type text, record_id text, is_undo boolean)
            CROSS JOIN LATERAL (
                SELECT o.id, o.change_id
                FROM authsync.deliveries AS o
                WHERE o.held_from IS NOT NULL AND (o.state || '') IN ('held', 'cancelled')
                  AND (o.record_id, o.record_type, o.destination_id, o.change_id) >= (r.record_id, r.record_type, p_destination_id, 0)
                  AND (o.record_id, o.record_type, o.destination_id, o.change_id)
                      < (r.record_id, r.record_type, p_destination_id, r.change_id)
                OFFSET 0 -- as a join it would not be looked up
            ) AS w
            WHERE r.is_undo
            ORDER BY w.id, r.change_id
        ),
        undo AS MATERIALIZED (
            SELECT d.id, u.by_change, u.first_change_id
            FROM (SELECT n.by_change, min(n.change_id) AS first_change_id FROM undone AS n GROUP BY n.by_change) AS u
            JOIN authsync.deliveries AS d ON d.change_id = u.by_change AND d.destination_id = p_destination_id
        ),
        span AS (
            UPDATE authsync.deliveries AS d
            SET first_change_id = u.first_change_id
            FROM undo AS u
            WHERE d.id = u.id
        )
        UPDATE authsync.deliveries AS d
        SET state = 'coalesced', coalesced_into = u.id, held_from = NULL, reason = NULL, finished_at = p_now
        FROM undone AS n
        JOIN undo AS u ON u.by_change = n.by_change
        WHERE d.id = n.id;
    END IF;
    IF v_made > 0 THEN
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_made;
END;
$_$;

COMMENT ON FUNCTION authsync.make_deliveries(p_destination_id uuid, p_changes jsonb, p_now timestamp with time zone) IS 'Makes the deliveries of changes for a destination, in order for each order key.';

CREATE FUNCTION authsync.make_inbox_partitions(p_from date, p_days integer) RETURNS TABLE(day date, moved bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    SET lock_timeout TO '2s'
    AS $_$
DECLARE
    v_parent    text;
    v_partition text;
    v_moved     bigint;
    v_covered   datemultirange;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.inbox_partitions', 0));

    day := authsync.keep_default_partitions();
    IF day IS NOT NULL THEN
        moved := 0;
        RETURN NEXT;
    END IF;
    SELECT range_agg(daterange(b.from_day, b.to_day)) INTO v_covered FROM authsync.inbox_bounds AS b;

    FOR day IN
        SELECT p_from + n FROM generate_series(0, p_days - 1) AS n
        UNION
        SELECT i.received_at::date FROM authsync.inbox_default AS i
        UNION
        SELECT e.received_at::date FROM authsync.event_outcomes_default AS e
        ORDER BY 1
    LOOP
        moved := 0;
        CONTINUE WHEN coalesce(day <@ v_covered, false);

        FOREACH v_parent IN ARRAY ARRAY['inbox', 'event_outcomes'] LOOP
            v_partition := v_parent || '_' || to_char(day, 'YYYYMMDD');
            -- ATTACH locks the parent such that reading and inserting go on; CREATE TABLE
            -- PARTITION OF would not. The CHECK is the proof that spares it a scan.
            EXECUTE format(
                'CREATE TABLE authsync.%I (LIKE authsync.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                     CONSTRAINT day CHECK (received_at >= %L AND received_at < %L))',
                v_partition, v_parent, day::timestamptz, (day + 1)::timestamptz);
            EXECUTE format('LOCK TABLE authsync.%I IN ACCESS EXCLUSIVE MODE', v_parent || '_default');
            EXECUTE format(
                'WITH moving AS (
                     DELETE FROM authsync.%I WHERE received_at >= $1 AND received_at < $2 RETURNING *
                 )
                 INSERT INTO authsync.%I SELECT * FROM moving',
                v_parent || '_default', v_partition)
                USING day::timestamptz, (day + 1)::timestamptz;
            GET DIAGNOSTICS v_moved = ROW_COUNT;
            moved := moved + v_moved;
            EXECUTE format('ALTER TABLE authsync.%I ATTACH PARTITION authsync.%I FOR VALUES FROM (%L) TO (%L)',
                v_parent, v_partition, day::timestamptz, (day + 1)::timestamptz);
            EXECUTE format('ALTER TABLE authsync.%I DROP CONSTRAINT day', v_partition);
            EXECUTE format('COMMENT ON TABLE authsync.%I IS %L', v_partition,
                format('The part of authsync.%s that was received on %s (UTC).', v_parent, day));
        END LOOP;
        RETURN NEXT;
    END LOOP;
END;
$_$;

COMMENT ON FUNCTION authsync.make_inbox_partitions(p_from date, p_days integer) IS 'Makes the inbox''s partitions of some days, and of all days that have rows in the default partition.';

CREATE FUNCTION authsync.move_breaker(p_destination_id uuid, p_results jsonb, p_now timestamp with time zone, p_open_after integer, p_open_for interval, p_open_at_most interval, p_disable_after interval, OUT breaker_open_until timestamp with time zone, OUT is_disabled boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_progress  authsync.destination_progress;
    v_delivered bigint;
    v_failed    bigint;
    v_failing   text[];
    v_probe     boolean;
    v_answered  boolean;
    v_through   timestamptz;
BEGIN
    is_disabled := false;
    SELECT
        count(*) FILTER (WHERE r.outcome = 'delivered'),
        count(DISTINCT r.send) FILTER (WHERE r.outcome IN ('retry', 'probe')),
        coalesce(bool_or(r.outcome = 'probe'), false),
        coalesce(bool_or(r.outcome IN ('failed', 'later') AND r.status IS NOT NULL), false),
        max(r.sent_at) FILTER (WHERE r.outcome = 'delivered')
    INTO v_delivered, v_failed, v_probe, v_answered, v_through
    FROM jsonb_to_recordset(p_results) AS r (outcome text, status integer, send bigint, sent_at timestamptz);

    IF v_delivered > 0 THEN
        -- As close_breaker does, in one statement with the rest: every batch that gets through comes here.
        UPDATE authsync.destination_progress AS f
        SET consecutive_failures   = 0,
            breaker_failed_records = '{}',
            failing_since          = NULL,
            breaker_open_until     = NULL,
            breaker_trips          = 0,
            last_success_at        = p_now,
            last_success_sent_at   = greatest(f.last_success_sent_at, v_through)
        WHERE f.destination_id = p_destination_id;
        RETURN;
    END IF;

    SELECT f.* INTO v_progress FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id;
    IF v_failed > 0 THEN
        v_failing := ARRAY(
            SELECT u.order_key FROM unnest(v_progress.breaker_failed_records) AS u (order_key)
            UNION
            SELECT min(d.order_key)
            FROM jsonb_to_recordset(p_results) AS r (id bigint, attempts integer, outcome text, send bigint)
            JOIN authsync.deliveries AS d ON d.id = r.id
            WHERE r.outcome IN ('retry', 'probe') AND r.attempts = 0
            GROUP BY r.send
            LIMIT p_open_after
        );
        -- Deliveries in flight when it opened do not open it again.
        IF v_probe OR (v_progress.breaker_open_until IS NULL AND cardinality(v_failing) >= p_open_after) THEN
            breaker_open_until := p_now + least(p_open_for * 2 ^ least(v_progress.breaker_trips, 20), p_open_at_most);
        END IF;
        UPDATE authsync.destination_progress AS f
        SET consecutive_failures   = f.consecutive_failures + v_failed,
            breaker_failed_records = v_failing,
            failing_since          = coalesce(f.failing_since, p_now),
            breaker_open_until     = coalesce(move_breaker.breaker_open_until, f.breaker_open_until),
            breaker_trips          = f.breaker_trips + CASE WHEN move_breaker.breaker_open_until IS NULL THEN 0 ELSE 1 END
        WHERE f.destination_id = p_destination_id;
        -- It may be one user or organization only that fails.
        IF v_progress.failing_since <= p_now - p_disable_after AND cardinality(v_failing) > 1 THEN
            is_disabled := authsync.halt_destination(
                p_destination_id, 'disabled', 'system',
                format('Every attempt has failed since %s. See why in its deliveries, mend that, and resume it: all is kept.',
                    to_char(v_progress.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')),
                p_now);
        END IF;
    ELSIF v_answered AND v_progress.breaker_open_until IS NOT NULL THEN
        -- The probe was rejected for its content, or deferred: the destination is up.
        PERFORM authsync.close_breaker(p_destination_id, false);
    END IF;
END;
$$;

COMMENT ON FUNCTION authsync.move_breaker(p_destination_id uuid, p_results jsonb, p_now timestamp with time zone, p_open_after integer, p_open_for interval, p_open_at_most interval, p_disable_after interval, OUT breaker_open_until timestamp with time zone, OUT is_disabled boolean) IS 'Moves the circuit breaker of a destination by the results of its attempts.';

CREATE FUNCTION authsync.note_inbox_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    v_insert text := format('INSERT INTO authsync.inbox_rewrite_changes (suffix, inbox_id) VALUES ($1, ($2).%I)', TG_ARGV[1]);
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE v_insert USING TG_ARGV[0], old;
    ELSE
        EXECUTE v_insert USING TG_ARGV[0], new;
    END IF;
    RETURN NULL;
END;
$_$;

COMMENT ON FUNCTION authsync.note_inbox_change() IS 'Notes a message that was changed while its day is rewritten.';

CREATE FUNCTION authsync.pending_messages(p_project_id uuid, p_until bigint, p_limit integer) RETURNS TABLE(inbox_id bigint, received_from timestamp with time zone, received_to timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_incremental_sort TO 'off'
    SET enable_hashagg TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    v_until bigint := least(p_until, 9000000000000000000); -- leaves room for the longest spread
BEGIN
    RETURN QUERY
    SELECT n.inbox_id, min(n.received_from), max(n.received_to)
    FROM (
        SELECT u.inbox_id, p.received_from, p.received_to
        FROM unnest('{0,1,2,3}'::smallint[]) AS c (spread)
        CROSS JOIN LATERAL (
            SELECT min(l.last_id) AS last_id
            FROM (
                SELECT DISTINCT q.last_id
                FROM authsync.inbox_pending AS q
                WHERE q.project_id = p_project_id AND q.spread = c.spread AND q.last_id <= v_until
                ORDER BY q.last_id DESC
                LIMIT p_limit
            ) AS l
        ) AS f
        CROSS JOIN LATERAL (
            SELECT q.inbox_ids, q.received_from, q.received_to
            FROM authsync.inbox_pending AS q
            WHERE q.project_id = p_project_id AND q.spread = c.spread AND q.last_id BETWEEN f.last_id AND v_until
            OFFSET 0 -- keeps the planner from reading all that end before p_until, and comparing then
        ) AS p
        CROSS JOIN LATERAL unnest(p.inbox_ids[greatest(cardinality(p.inbox_ids) - p_limit + 1, 1):]) AS u (inbox_id)
        UNION ALL
        SELECT u.inbox_id, p.received_from, p.received_to
        FROM (VALUES (0::smallint, 63), (1::smallint, 4095), (2::smallint, 262143), (3::smallint, NULL)) AS c (spread, longest)
        CROSS JOIN LATERAL (
            SELECT q.inbox_ids, q.received_from, q.received_to
            FROM authsync.inbox_pending AS q
            WHERE q.project_id = p_project_id AND q.spread = c.spread
              AND q.last_id > v_until AND q.last_id <= coalesce(v_until + c.longest, 9223372036854775807)
              AND q.inbox_ids[1] <= v_until
        ) AS p
        CROSS JOIN LATERAL unnest(p.inbox_ids) AS u (inbox_id)
        WHERE u.inbox_id <= v_until
        UNION ALL
        (SELECT o.inbox_id, min(o.received_at), max(o.received_at)
        FROM authsync.event_outcomes AS o
        WHERE o.project_id = p_project_id AND o.outcome = 'pending' AND o.inbox_id <= v_until
        GROUP BY o.inbox_id
        ORDER BY o.inbox_id DESC
        LIMIT p_limit)
    ) AS n
    GROUP BY n.inbox_id
    ORDER BY n.inbox_id DESC
    LIMIT p_limit;
END;
$$;

COMMENT ON FUNCTION authsync.pending_messages(p_project_id uuid, p_until bigint, p_limit integer) IS 'The newest messages of a project that wait to be applied, or have events that were deferred.';

CREATE FUNCTION authsync.prepare_pull() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO authsync.pulls (project_id, provider, since)
    VALUES (NEW.project_id, NEW.provider, NEW.updated_at)
    ON CONFLICT (project_id, provider) DO UPDATE SET retry_at = NULL, consecutive_failures = 0;
    RETURN NULL;
END;
$$;

COMMENT ON FUNCTION authsync.prepare_pull() IS 'Makes the row of an integration whose events are to be pulled; an old one is tried anew at once.';

CREATE FUNCTION authsync.promote_deliveries(p_destination_id uuid, p_order_keys text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_promoted bigint;
BEGIN
    UPDATE authsync.deliveries AS d
    SET state = 'ready'
    FROM unnest(p_order_keys) AS u (order_key)
    CROSS JOIN LATERAL (
        SELECT w.id
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.order_key = u.order_key AND w.state = 'blocked'
        ORDER BY w.change_id
        LIMIT 1
    ) AS n
    -- The limit keeps it one lookup per key. As an anti-join it was a scan of
    -- all pending deliveries of the destination, at each promotion.
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.order_key = u.order_key AND w.state IN ('ready', 'retrying')
        LIMIT 1
    ) AS under_way ON true
    WHERE d.id = n.id AND under_way.found IS NULL;
    GET DIAGNOSTICS v_promoted = ROW_COUNT;
    RETURN v_promoted;
END;
$$;

COMMENT ON FUNCTION authsync.promote_deliveries(p_destination_id uuid, p_order_keys text[]) IS 'Makes the next delivery of each order key ready, unless one is already.';

CREATE FUNCTION authsync.protect_audit_log() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP = 'DELETE' AND old.occurred_at < clock_timestamp() - authsync.audit_retention() THEN
        RETURN old;
    END IF;
    IF TG_OP = 'UPDATE' AND old.outcome = 'pending' AND new.outcome <> 'pending'
        AND (new.id, new.occurred_at, new.actor, new.via, new.action, new.request_count)
            = (old.id, old.occurred_at, old.actor, old.via, old.action, old.request_count)
        AND (new.key_id, new.key_name, new.key_role, new.remote_address, new.user_agent, new.request_id)
            IS NOT DISTINCT FROM (old.key_id, old.key_name, old.key_role, old.remote_address, old.user_agent, old.request_id)
        AND (old.project_id IS NULL OR (new.project_id, new.project_name) IS NOT DISTINCT FROM (old.project_id, old.project_name))
        AND (old.object_id IS NULL OR new.object_id = old.object_id)
    THEN
        RETURN new;
    END IF;
    RAISE EXCEPTION 'authsync.audit_log is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'Rows are deleted once they are older than authsync.audit_retention().';
END;
$$;

COMMENT ON FUNCTION authsync.protect_audit_log() IS 'Refuses changes of authsync.audit_log: only a pending result is filled in, and only old rows are deleted.';

CREATE FUNCTION authsync.prune_audit_log(p_now timestamp with time zone, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_deleted bigint;
BEGIN
    DELETE FROM authsync.audit_log AS a
    WHERE a.id = ANY (ARRAY(
        SELECT o.id
        FROM authsync.audit_log AS o
        -- Not what the trigger refuses: the caller's clock may be ahead of this server's.
        WHERE o.occurred_at < least(p_now, clock_timestamp()) - authsync.audit_retention()
        ORDER BY o.occurred_at, o.id
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END;
$$;

COMMENT ON FUNCTION authsync.prune_audit_log(p_now timestamp with time zone, p_limit integer) IS 'Deletes rows of authsync.audit_log past their retention.';

CREATE FUNCTION authsync.prune_deliveries(p_now timestamp with time zone, p_default interval, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_project uuid;
    v_before  timestamptz;
    v_some    bigint;
    v_dropped bigint := bigint '0';
BEGIN
    FOR v_project, v_before IN
        SELECT p.id, p_now - coalesce(make_interval(days => p.keep_deliveries), p_default) FROM authsync.projects AS p
    LOOP
        DELETE FROM authsync.deliveries AS d
        WHERE d.id = ANY (ARRAY(
            SELECT o.id
            FROM authsync.deliveries AS o
            WHERE o.project_id = v_project AND o.state IN ('delivered', 'coalesced', 'cancelled') AND o.finished_at < v_before
            ORDER BY o.finished_at
            LIMIT p_limit - v_dropped
            FOR UPDATE SKIP LOCKED
        ));
        GET DIAGNOSTICS v_some = ROW_COUNT;
        v_dropped := v_dropped + v_some;
        EXIT WHEN v_dropped >= p_limit;
    END LOOP;
    RETURN v_dropped;
END;
$$;

COMMENT ON FUNCTION authsync.prune_deliveries(p_now timestamp with time zone, p_default interval, p_limit integer) IS 'Deletes finished deliveries past their retention; failed ones stay.';

CREATE FUNCTION authsync.prune_inbox_rows(p_suffix text, p_project_id uuid, p_now timestamp with time zone, p_default interval, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET lock_timeout TO '500ms'
    SET enable_seqscan TO 'off'
    AS $_$
DECLARE
    v_from    date;
    v_to      date;
    v_ids     bigint[];
    v_is_last boolean;
BEGIN
    SELECT b.from_day, b.to_day INTO v_from, v_to
    FROM authsync.inbox_bounds AS b
    WHERE b.inbox_partition = to_regclass(format('authsync.%I', 'inbox_' || p_suffix));
    IF (v_to <= (p_now - authsync.inbox_keep(p_project_id, p_default))::date) IS NOT TRUE THEN
        RETURN 0;
    END IF;

    EXECUTE format(
        'WITH gone AS (
             DELETE FROM authsync.%1$I AS i
             WHERE (i.id, i.received_at) IN (
                 SELECT o.id, o.received_at FROM authsync.%1$I AS o WHERE o.project_id = $1 ORDER BY o.id LIMIT $2 FOR UPDATE SKIP LOCKED
             )
             RETURNING i.id
         )
         SELECT array_agg(g.id) FROM gone AS g', 'inbox_' || p_suffix)
        INTO v_ids USING p_project_id, p_limit;
    EXECUTE format('DELETE FROM authsync.%I AS e WHERE e.inbox_id = ANY ($1)', 'event_outcomes_' || p_suffix) USING v_ids;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM authsync.%I AS i WHERE i.project_id = $1)', 'inbox_' || p_suffix)
        INTO v_is_last USING p_project_id;

    -- What is left takes its share of what was counted.
    UPDATE authsync.inbox_usage AS u SET
        byte_count = u.byte_count - u.byte_count * least(cardinality(v_ids), u.message_count) / greatest(u.message_count, 1),
        message_count = greatest(u.message_count - cardinality(v_ids), 0)
    WHERE u.project_id = p_project_id AND u.day = v_from AND v_to = v_from + 1 AND NOT v_is_last;
    DELETE FROM authsync.inbox_usage AS u
    WHERE u.project_id = p_project_id AND u.day >= v_from AND u.day < v_to AND v_is_last;
    RETURN coalesce(cardinality(v_ids), 0);
END;
$_$;

COMMENT ON FUNCTION authsync.prune_inbox_rows(p_suffix text, p_project_id uuid, p_now timestamp with time zone, p_default interval, p_limit integer) IS 'Deletes a project''s messages past their retention from a partition that others keep.';

CREATE FUNCTION authsync.prune_job_requests(p_now timestamp with time zone) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    WITH idle AS MATERIALIZED (
        SELECT r.kind, r.subject
        FROM authsync.job_requests AS r
        WHERE r.job_id IS NULL AND r.idle_since < p_now - interval '1 day'
        ORDER BY r.kind, r.subject
        FOR UPDATE SKIP LOCKED
    ), pruned AS (
        DELETE FROM authsync.job_requests AS r
        USING idle AS i
        WHERE r.kind = i.kind AND r.subject = i.subject
        RETURNING r.kind
    )
    SELECT count(*) FROM pruned AS p;
$$;

COMMENT ON FUNCTION authsync.prune_job_requests(p_now timestamp with time zone) IS 'Deletes subjects of jobs that have had no work for a day.';

CREATE FUNCTION authsync.record_deliveries(p_destination_id uuid, p_results jsonb, p_now timestamp with time zone, p_open_after integer, p_open_for interval, p_open_at_most interval, p_disable_after interval) RETURNS TABLE(promoted bigint, breaker_open_until timestamp with time zone, is_disabled boolean)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_keys text[];
BEGIN
    promoted := 0;
    is_disabled := false;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NEXT;
        RETURN;
    END IF;

    WITH result AS MATERIALIZED (
        SELECT r.*, d.attempt_log, r.outcome <> 'later' OR r.status IS NOT NULL AS was_sent
        FROM jsonb_to_recordset(p_results) AS r (
            id bigint, state text, attempts integer, coalesced bigint[], outcome text, status integer, response text, reason text,
            next_attempt_at timestamptz, job_id bigint, sent_at timestamptz, deferrals integer, keeps_external_id boolean, external_id text,
            duration_ms bigint, sent jsonb
        )
        JOIN authsync.deliveries AS d ON d.id = r.id
        -- Written so that only the index on id can be used.
        WHERE d.destination_id IS NOT DISTINCT FROM p_destination_id AND d.state IS NOT DISTINCT FROM r.state AND d.attempts = r.attempts
    ),
    -- It has all that finishing needs: joined with result once more, each would be looked for among all.
    member AS MATERIALIZED (
        SELECT
            d.id,
            d.order_key,
            first_value(d.id) OVER w AS newest_id,
            min(least(d.first_change_id, d.change_id)) OVER (PARTITION BY r.id) AS first_change_id,
            r.outcome, r.attempts, r.status, r.response, r.reason, r.duration_ms, r.sent,
            coalesce(d.attempt_log, r.attempt_log) AS attempt_log
        FROM result AS r
        CROSS JOIN LATERAL unnest(r.id || r.coalesced) AS u (id)
        JOIN authsync.deliveries AS d ON d.id = u.id
        WHERE r.outcome IN ('delivered', 'failed', 'cancelled')
          AND (d.id = r.id OR (d.state || '') IN ('blocked', 'failed'))
        WINDOW w AS (PARTITION BY r.id ORDER BY d.change_id DESC)
    ),
    finish AS (
        UPDATE authsync.deliveries AS d
        SET state           = CASE WHEN m.id = m.newest_id THEN m.outcome ELSE 'coalesced' END,
            coalesced_into  = CASE WHEN m.id <> m.newest_id THEN m.newest_id END,
            first_change_id = CASE WHEN m.id = m.newest_id THEN nullif(m.first_change_id, d.change_id) ELSE d.first_change_id END,
            attempts        = CASE WHEN m.id = m.newest_id THEN m.attempts + 1 ELSE d.attempts END,
            last_attempt_at = p_now,
            next_attempt_at = NULL,
            last_status     = CASE WHEN m.id = m.newest_id THEN m.status ELSE d.last_status END,
            last_response   = CASE WHEN m.id = m.newest_id THEN m.response ELSE d.last_response END,
            reason          = CASE WHEN m.id = m.newest_id THEN m.reason END,
            attempt_log     = CASE
                WHEN m.id = m.newest_id AND (m.outcome <> 'delivered' OR m.attempt_log IS NOT NULL)
                    THEN authsync.add_attempt(m.attempt_log, p_now, m.duration_ms, m.outcome, m.status, m.reason, m.response, m.sent)
                ELSE d.attempt_log
            END,
            begun_at        = NULL,
            finished_at     = p_now
        FROM member AS m
        WHERE d.id = m.id
    ),
    unfinished AS (
        UPDATE authsync.deliveries AS d
        SET state           = CASE WHEN r.outcome = 'retry' OR r.job_id IS NOT NULL THEN 'retrying' ELSE d.state END,
            attempts        = CASE WHEN r.outcome = 'retry' THEN d.attempts + 1 ELSE d.attempts END,
            next_attempt_at = coalesce(r.next_attempt_at, d.next_attempt_at),
            job_id          = coalesce(r.job_id, d.job_id),
            deferrals       = coalesce(r.deferrals, d.deferrals),
            deferred_at     = CASE WHEN r.deferrals IS NULL THEN d.deferred_at ELSE r.sent_at END,
            last_attempt_at = CASE WHEN r.was_sent THEN p_now ELSE d.last_attempt_at END,
            last_status     = CASE WHEN r.was_sent THEN r.status ELSE d.last_status END,
            last_response   = CASE WHEN r.was_sent THEN r.response ELSE d.last_response END,
            reason          = r.reason,
            attempt_log     = CASE
                WHEN r.was_sent THEN authsync.add_attempt(
                    d.attempt_log, p_now, r.duration_ms, CASE WHEN r.outcome = 'later' THEN 'deferred' ELSE 'retried' END,
                    r.status, r.reason, r.response, r.sent)
                ELSE d.attempt_log
            END,
            begun_at        = NULL
        FROM result AS r
        WHERE d.id = r.id AND r.outcome IN ('retry', 'probe', 'later')
    ),
    remember AS (
        INSERT INTO authsync.external_ids AS l (destination_id, record_type, record_id, external_id, updated_at)
        SELECT p_destination_id, d.record_type, d.record_id, r.external_id, p_now
        FROM result AS r
        JOIN authsync.deliveries AS d ON d.id = r.id
        WHERE NOT r.keeps_external_id AND r.external_id <> ''
        ORDER BY d.record_type, d.record_id
        ON CONFLICT (destination_id, record_type, record_id)
        DO UPDATE SET external_id = excluded.external_id, updated_at = excluded.updated_at
        WHERE l.external_id <> excluded.external_id
    ),
    forget AS (
        DELETE FROM authsync.external_ids AS l
        USING result AS r, authsync.deliveries AS d
        WHERE NOT r.keeps_external_id AND r.external_id = '' AND d.id = r.id
          AND l.destination_id = p_destination_id AND l.record_type = d.record_type AND l.record_id = d.record_id
    )
    SELECT array_agg(DISTINCT m.order_key) INTO v_keys
    FROM member AS m;

    IF v_keys IS NOT NULL THEN
        promoted := authsync.promote_deliveries(p_destination_id, v_keys);
    END IF;

    SELECT m.breaker_open_until, m.is_disabled INTO breaker_open_until, is_disabled
    FROM authsync.move_breaker(p_destination_id, p_results, p_now, p_open_after, p_open_for, p_open_at_most, p_disable_after) AS m;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION authsync.record_deliveries(p_destination_id uuid, p_results jsonb, p_now timestamp with time zone, p_open_after integer, p_open_for interval, p_open_at_most interval, p_disable_after interval) IS 'Records the results of deliveries and promotes the next ones with their order keys.';

CREATE FUNCTION authsync.record_problems(p_kinds text[], p_found jsonb, p_targets text[], p_now timestamp with time zone) RETURNS TABLE(problem_id bigint, event text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_closed bigint[];
    v_opened bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('authsync.record_problems', 0));

    WITH found AS MATERIALIZED (
        SELECT DISTINCT ON (f.kind, f.project_id, f.subject) f.*
        FROM jsonb_to_recordset(p_found) AS f (kind text, project_id uuid, subject text, severity text, detail text, next_step text)
        WHERE f.kind = ANY (p_kinds)
        ORDER BY f.kind, f.project_id, f.subject, f.severity
    ), known AS MATERIALIZED (
        SELECT p.id, p.kind, p.project_id, p.subject
        FROM authsync.problems AS p
        WHERE p.kind = ANY (p_kinds) AND p.closed_at IS NULL
        FOR UPDATE SKIP LOCKED
    ), refreshed AS (
        UPDATE authsync.problems AS p
        SET last_seen_at = greatest(p.last_seen_at, p_now), severity = f.severity, detail = f.detail, next_step = f.next_step
        FROM known AS k
        JOIN found AS f ON f.kind = k.kind AND f.project_id IS NOT DISTINCT FROM k.project_id AND f.subject = k.subject
        WHERE p.id = k.id
    ), closed AS (
        UPDATE authsync.problems AS p
        SET closed_at = greatest(p.last_seen_at, p_now)
        FROM known AS k
        WHERE p.id = k.id AND NOT EXISTS (
            SELECT
            FROM found AS f
            WHERE f.kind = k.kind AND f.project_id IS NOT DISTINCT FROM k.project_id AND f.subject = k.subject
        )
        RETURNING p.id
    ), living AS MATERIALIZED (
        SELECT p.id
        FROM authsync.projects AS p
        WHERE p.id IN (SELECT f.project_id FROM found AS f)
        FOR KEY SHARE SKIP LOCKED
    ), added AS (
        INSERT INTO authsync.problems AS p (kind, project_id, subject, severity, detail, next_step, opened_at, last_seen_at)
        SELECT f.kind, f.project_id, f.subject, f.severity, f.detail, f.next_step, p_now, p_now
        FROM found AS f
        WHERE f.project_id IS NULL OR f.project_id IN (SELECT l.id FROM living AS l)
        ORDER BY f.project_id NULLS FIRST, f.kind, f.subject
        ON CONFLICT (kind, (coalesce(project_id, '00000000-0000-0000-0000-000000000000'::uuid)), subject) WHERE closed_at IS NULL DO NOTHING
        RETURNING p.id
    )
    SELECT (SELECT array_agg(a.id ORDER BY a.id) FROM added AS a), (SELECT array_agg(c.id ORDER BY c.id) FROM closed AS c)
    INTO v_opened, v_closed;

    INSERT INTO authsync.problem_calls (problem_id, event, target, next_attempt_at)
    SELECT o.id, 'opened', t.target, p_now
    FROM unnest(v_opened) AS o (id)
    CROSS JOIN (SELECT DISTINCT u.target FROM unnest(p_targets) AS u (target)) AS t
    UNION ALL
    SELECT c.id, 'closed', k.target, p_now
    FROM unnest(v_closed) AS c (id)
    JOIN authsync.problem_calls AS k ON k.problem_id = c.id AND k.event = 'opened';

    RETURN QUERY
    SELECT o.id, 'opened' FROM unnest(v_opened) AS o (id)
    UNION ALL
    SELECT c.id, 'closed' FROM unnest(v_closed) AS c (id);
END;
$$;

COMMENT ON FUNCTION authsync.record_problems(p_kinds text[], p_found jsonb, p_targets text[], p_now timestamp with time zone) IS 'Opens, refreshes and closes problems by what an evaluation found.';

CREATE FUNCTION authsync.record_rejected_requests(p_requests jsonb, p_keep integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
$$;

COMMENT ON FUNCTION authsync.record_rejected_requests(p_requests jsonb, p_keep integer) IS 'Stores requests that a receiver rejected; keeps the newest of each provider of a project.';

CREATE FUNCTION authsync.relay_page(p_destination_id uuid, p_from bigint, p_to bigint, p_changes jsonb, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_made bigint;
BEGIN
    UPDATE authsync.destination_progress AS f
    SET cursor = p_to
    WHERE f.destination_id = p_destination_id AND f.cursor = p_from;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    v_made := authsync.make_deliveries(p_destination_id, p_changes, p_now);
    IF v_made IS NULL THEN
        UPDATE authsync.destination_progress AS f
        SET cursor = p_from
        WHERE f.destination_id = p_destination_id;
    END IF;
    RETURN v_made;
END;
$$;

COMMENT ON FUNCTION authsync.relay_page(p_destination_id uuid, p_from bigint, p_to bigint, p_changes jsonb, p_now timestamp with time zone) IS 'Moves a destination on over a page of changes and makes its deliveries.';

CREATE FUNCTION authsync.release_deliveries(p_destination_id uuid, p_ids bigint[], p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_keys     text[];
    v_released bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH subject AS MATERIALIZED (
        SELECT DISTINCT d.record_type, d.record_id
        FROM authsync.deliveries AS d
        -- Written so that only the index on id can be used.
        WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id AND d.state IS NOT DISTINCT FROM 'held'
    ),
    chosen AS MATERIALIZED (
        SELECT o.id
        FROM subject AS s
        CROSS JOIN LATERAL (
            SELECT w.id
            FROM authsync.deliveries AS w
            -- By all columns of deliveries_withheld_idx and in the words of its predicate, so that no plan can walk over
            -- what else is held.
            WHERE w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled') AND w.state IS NOT DISTINCT FROM 'held'
              AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (s.record_id, s.record_type, p_destination_id, 0)
              AND (w.record_id, w.record_type, w.destination_id, w.change_id)
                  <= (s.record_id, s.record_type, p_destination_id, 9223372036854775807)
            OFFSET 0 -- as a join it would not be looked up
        ) AS o
    ),
    release AS (
        UPDATE authsync.deliveries AS d
        SET state = 'blocked', held_from = NULL, released_at = p_now
        FROM chosen AS c
        WHERE d.id = c.id
        RETURNING d.order_key
    )
    SELECT count(*), array_agg(DISTINCT r.order_key) INTO v_released, v_keys
    FROM release AS r;

    IF v_released > 0 THEN
        PERFORM authsync.promote_deliveries(p_destination_id, v_keys);
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_released;
END;
$$;

COMMENT ON FUNCTION authsync.release_deliveries(p_destination_id uuid, p_ids bigint[], p_now timestamp with time zone) IS 'Has held deliveries sent, each with what else is held of its record.';

CREATE FUNCTION authsync.release_due_deliveries(p_destination_id uuid, p_now timestamp with time zone, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_due timestamptz;
BEGIN
    SELECT p_now - coalesce(d.holdback, interval '0') INTO v_due
    FROM authsync.destinations AS d
    WHERE d.id = p_destination_id;

    RETURN authsync.release_deliveries(p_destination_id, ARRAY(
        SELECT o.id
        FROM authsync.deliveries AS o
        WHERE o.destination_id = p_destination_id AND o.state = 'held' AND o.held_from IS NOT NULL AND o.held_from <= v_due
        ORDER BY o.destination_id, o.state, o.held_from
        LIMIT p_limit
    ), p_now);
END;
$$;

COMMENT ON FUNCTION authsync.release_due_deliveries(p_destination_id uuid, p_now timestamp with time zone, p_limit integer) IS 'Has deletions sent whose holdback is over.';

CREATE FUNCTION authsync.remove_destination(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_id FOR UPDATE;
    DELETE FROM authsync.destinations AS d WHERE d.id = p_id;
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION authsync.remove_destination(p_id uuid) IS 'Deletes a destination with all its deliveries.';

CREATE FUNCTION authsync.remove_project(p_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM
    FROM authsync.destination_progress AS f
    JOIN authsync.destinations AS d ON d.id = f.destination_id
    WHERE d.project_id = p_id
    ORDER BY f.destination_id
    FOR UPDATE OF f;
    DELETE FROM authsync.projects AS p WHERE p.id = p_id;
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION authsync.remove_project(p_id uuid) IS 'Removes a project with all that belongs to it here; its own database stays.';

CREATE FUNCTION authsync.renew_pulls(p_claimed_by uuid, p_until timestamp with time zone, p_project_ids uuid[], p_providers text[]) RETURNS TABLE(project_id uuid, provider text, changed_at timestamp with time zone)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RETURN QUERY
    WITH mine AS (
        SELECT p.project_id, p.provider, i.updated_at
        FROM unnest(p_project_ids, p_providers) AS h (project_id, provider)
        JOIN authsync.pulls AS p ON p.project_id = h.project_id AND p.provider = h.provider
        JOIN authsync.integrations AS i ON i.project_id = p.project_id AND i.provider = p.provider
        WHERE p.claimed_by = p_claimed_by
          AND i.options @> '{"pull": true}'
        ORDER BY p.project_id, p.provider
        FOR UPDATE OF p
    )
    UPDATE authsync.pulls AS p
    SET claimed_until = p_until
    FROM mine AS m
    WHERE p.project_id = m.project_id AND p.provider = m.provider
    RETURNING m.project_id, m.provider, m.updated_at;
END;
$$;

COMMENT ON FUNCTION authsync.renew_pulls(p_claimed_by uuid, p_until timestamp with time zone, p_project_ids uuid[], p_providers text[]) IS 'Prolongs the claims of a puller on integrations that are still to be pulled.';

CREATE FUNCTION authsync.repeated_changes(p_destination_id uuid, p_lost_to bigint, p_found_at timestamp with time zone, p_change_ids bigint[], p_record_types text[], p_record_ids text[], p_user_ids text[], p_organization_ids text[], p_event_ids text[], p_providers text[], p_changed_at timestamp with time zone[]) RETURNS TABLE(change_id bigint, applied_at timestamp with time zone, delivery_id bigint, delivery_state text, is_complete boolean, is_known boolean)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
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
$$;

COMMENT ON FUNCTION authsync.repeated_changes(p_destination_id uuid, p_lost_to bigint, p_found_at timestamp with time zone, p_change_ids bigint[], p_record_types text[], p_record_ids text[], p_user_ids text[], p_organization_ids text[], p_event_ids text[], p_providers text[], p_changed_at timestamp with time zone[]) IS 'Which changes a repaired mirror has made once more, and what had become of them at a destination.';

CREATE FUNCTION authsync.request_delivery(p_destination_id uuid) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT authsync.request_job('deliver', p_destination_id::text, jsonb_build_object('destination_id', p_destination_id));
$$;

COMMENT ON FUNCTION authsync.request_delivery(p_destination_id uuid) IS 'Asks for the job that sends to a destination.';

CREATE FUNCTION authsync.request_idle(p_looked_before timestamp with time zone) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT count(*) FILTER (WHERE CASE o.kind
        WHEN 'relay_changes' THEN authsync.request_relay(o.subject::uuid)
        ELSE authsync.request_job(o.kind, o.subject, o.args)
    END)
    FROM (
        SELECT w.kind, w.subject, w.args
        FROM (
            SELECT 'deliver' AS kind, d.id::text AS subject, jsonb_build_object('destination_id', d.id) AS args
            FROM authsync.destinations AS d
            UNION ALL
            SELECT k.kind, p.id::text, jsonb_build_object('project_id', p.id)
            FROM authsync.projects AS p
            CROSS JOIN unnest('{apply_inbox,repair_mirror}'::text[]) AS k (kind)
            UNION ALL
            SELECT DISTINCT 'refresh_users', u.project_id || '/' || u.provider,
                jsonb_build_object('project_id', u.project_id, 'provider', u.provider)
            FROM authsync.refresh_requests AS u
            WHERE u.abandoned_at IS NULL
            UNION ALL
            SELECT 'backfill', b.id::text, jsonb_build_object('run_id', b.id, 'project_id', b.project_id, 'run_kind', b.kind)
            FROM authsync.sync_runs AS b
            WHERE b.state IN ('running', 'waiting')
            UNION ALL
            SELECT 'erase_user', e.id::text, jsonb_build_object('erasure_id', e.id, 'project_id', e.project_id)
            FROM authsync.erasures AS e
            WHERE e.state = 'running'
            UNION ALL
            SELECT 'provision_webhook', h.project_id || '/' || h.provider,
                jsonb_build_object('project_id', h.project_id, 'provider', h.provider)
            FROM authsync.provisioned_webhooks AS h
            WHERE h.state IN ('pending', 'testing')
        ) AS w
        LEFT JOIN authsync.job_requests AS r ON r.kind = w.kind AND r.subject = w.subject
        WHERE r.job_id IS NULL AND authsync.has_work(w.kind, w.subject)
        UNION ALL
        SELECT DISTINCT 'relay_changes', d.project_id::text, NULL::jsonb
        FROM authsync.destinations AS d
        LEFT JOIN authsync.job_requests AS r ON r.kind = 'relay_changes' AND r.subject = d.project_id::text
        WHERE r.job_id IS NULL AND (r.idle_since IS NULL OR r.idle_since < p_looked_before)
        ORDER BY 1, 2
    ) AS o;
$$;

COMMENT ON FUNCTION authsync.request_idle(p_looked_before timestamp with time zone) IS 'Requests jobs for work that has none, and for feeds not read for a while.';

CREATE FUNCTION authsync.request_job(p_kind text, p_subject text, p_args jsonb, p_notify boolean DEFAULT true) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
    v_request authsync.job_requests;
    v_job_id  bigint;
BEGIN
    LOOP
        SELECT r.* INTO v_request
        FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject
        FOR KEY SHARE;

        EXIT WHEN v_request.job_id IS NOT NULL;
        IF v_request.kind IS NULL THEN
            INSERT INTO authsync.job_requests (kind, subject, args)
            VALUES (p_kind, p_subject, p_args)
            ON CONFLICT DO NOTHING;
        END IF;

        PERFORM
        FROM authsync.job_requests AS r
        WHERE r.kind = p_kind AND r.subject = p_subject AND r.job_id IS NULL
        FOR NO KEY UPDATE;
        -- Otherwise another transaction made the job meanwhile: lock the current row.
        IF FOUND THEN
            v_job_id := authsync.start_job(p_kind, p_args, p_notify);
            UPDATE authsync.job_requests AS r
            SET job_id = v_job_id, args = p_args
            WHERE r.kind = p_kind AND r.subject = p_subject;
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END;
$$;

COMMENT ON FUNCTION authsync.request_job(p_kind text, p_subject text, p_args jsonb, p_notify boolean) IS 'Asks for the job of a kind and subject; makes it unless it exists.';

CREATE FUNCTION authsync.request_relay(p_project_id uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    PERFORM authsync.request_job('copy_mirror', c.project_id::text, jsonb_build_object('project_id', c.project_id))
    FROM (
        SELECT o.project_id FROM authsync.clones AS o
        WHERE o.source_project_id = p_project_id AND o.phase = 'following'
        ORDER BY o.project_id
    ) AS c;
    IF NOT EXISTS (SELECT FROM authsync.destinations AS d WHERE d.project_id = p_project_id) THEN
        RETURN false;
    END IF;
    RETURN authsync.request_job('relay_changes', p_project_id::text, jsonb_build_object('project_id', p_project_id));
END;
$$;

COMMENT ON FUNCTION authsync.request_relay(p_project_id uuid) IS 'Asks for the jobs that relay a project''s changes, and that copy them to its clones.';

CREATE FUNCTION authsync.requeue_deliveries(p_destination_id uuid, p_ids bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_keys     text[];
    v_requeued bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    WITH chosen AS MATERIALIZED (
        SELECT
            d.id,
            coalesce(
                u.order_key, first_value(d.order_key) OVER (PARTITION BY d.record_type, d.record_id ORDER BY d.change_id DESC)
            ) AS order_key
        FROM authsync.deliveries AS d
        LEFT JOIN LATERAL (
            SELECT o.order_key
            FROM authsync.deliveries AS o
            -- By all columns of the index, so that no plan can walk over what else waits.
            WHERE (o.record_id, o.record_type, o.destination_id, o.change_id) >= (d.record_id, d.record_type, p_destination_id, 0)
              AND (o.record_id, o.record_type, o.destination_id, o.change_id)
                  <= (d.record_id, d.record_type, p_destination_id, 9223372036854775807)
              AND o.finished_at IS NULL
            LIMIT 1
        ) AS u ON true
        -- Written so that only the index on id can be used.
        WHERE d.id = ANY (p_ids) AND d.destination_id IS NOT DISTINCT FROM p_destination_id
          AND (d.state || '') IN ('delivered', 'coalesced', 'failed', 'cancelled')
          AND NOT (
              d.state = 'cancelled' AND EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.state = 'running')
          )
    ),
    requeue AS (
        UPDATE authsync.deliveries AS d
        SET state           = 'blocked',
            order_key       = c.order_key,
            held_from       = NULL,
            attempts        = 0,
            deferrals       = 0,
            deferred_at     = NULL,
            next_attempt_at = NULL,
            reason          = NULL,
            coalesced_into  = NULL,
            job_id          = NULL,
            finished_at     = NULL,
            -- Kept; what only the row has of an attempt would be lost with the next one.
            attempt_log     = CASE
                WHEN d.state = 'delivered' AND d.attempt_log IS NULL
                    THEN authsync.add_attempt(NULL, d.last_attempt_at, NULL, d.state, d.last_status, d.reason, d.last_response, NULL)
                ELSE d.attempt_log
            END
        FROM chosen AS c
        WHERE d.id = c.id
        RETURNING d.order_key
    )
    SELECT count(*), array_agg(DISTINCT r.order_key) INTO v_requeued, v_keys
    FROM requeue AS r;

    IF v_requeued > 0 THEN
        PERFORM authsync.promote_deliveries(p_destination_id, v_keys);
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_requeued;
END;
$$;

COMMENT ON FUNCTION authsync.requeue_deliveries(p_destination_id uuid, p_ids bigint[]) IS 'Requeues finished deliveries.';

CREATE FUNCTION authsync.requeue_retrying_deliveries(p_destination_id uuid, p_ids bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_taken bigint;
BEGIN
    WITH own AS MATERIALIZED (
        SELECT d.id, d.job_id
        FROM authsync.deliveries AS d
        WHERE d.destination_id = p_destination_id AND d.state = 'retrying' AND (p_ids IS NULL OR d.id = ANY (p_ids))
    ),
    idle AS MATERIALIZED (
        SELECT j.id
        FROM own AS o
        JOIN authsync.river_job AS j ON j.id = o.job_id
        WHERE j.state <> 'running'
        ORDER BY j.id
        FOR UPDATE OF j
    )
    UPDATE authsync.deliveries AS d
    SET state = 'ready', next_attempt_at = NULL, job_id = NULL
    FROM own AS o
    WHERE d.id = o.id
      -- IN hashes the jobs, which EXISTS would walk for each delivery.
      AND (o.job_id IN (SELECT i.id FROM idle AS i) OR NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = o.job_id));
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    RETURN v_taken;
END;
$$;

COMMENT ON FUNCTION authsync.requeue_retrying_deliveries(p_destination_id uuid, p_ids bigint[]) IS 'Moves deliveries from their own jobs to their destination''s, except those being sent.';

CREATE FUNCTION authsync.rescue_deliveries(p_destination_id uuid, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_keys  text[];
    v_ready bigint;
BEGIN
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = p_destination_id FOR UPDATE;

    UPDATE authsync.deliveries AS d
    SET state = 'ready', next_attempt_at = NULL, job_id = NULL
    WHERE d.destination_id = p_destination_id AND d.state = 'retrying' AND d.next_attempt_at < p_now - interval '1 minute'
      AND NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = d.job_id AND j.finalized_at IS NULL);
    GET DIAGNOSTICS v_ready = ROW_COUNT;

    -- One scan of the blocked ones, with one lookup per key; see promote_deliveries.
    SELECT array_agg(u.order_key) INTO v_keys
    FROM (
        SELECT DISTINCT w.order_key
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.state = 'blocked'
    ) AS u
    LEFT JOIN LATERAL (
        SELECT true AS found
        FROM authsync.deliveries AS w
        WHERE w.destination_id = p_destination_id AND w.order_key = u.order_key AND w.state IN ('ready', 'retrying')
        LIMIT 1
    ) AS under_way ON true
    WHERE under_way.found IS NULL;
    IF v_keys IS NOT NULL THEN
        v_ready := v_ready + authsync.promote_deliveries(p_destination_id, v_keys);
    END IF;
    IF v_ready > 0 THEN
        PERFORM authsync.request_delivery(p_destination_id);
    END IF;
    RETURN v_ready;
END;
$$;

COMMENT ON FUNCTION authsync.rescue_deliveries(p_destination_id uuid, p_now timestamp with time zone) IS 'Repairs deliveries after jobs or deliveries were deleted.';

CREATE FUNCTION authsync.rescue_jobs(p_client_id text, p_at_work bigint[], p_suspects text[], p_stuck_after interval, p_lease interval, p_now timestamp with time zone) RETURNS TABLE(rescued bigint, suspects text[])
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_now   timestamptz := coalesce(p_now, clock_timestamp());
    v_free  text[];
    v_dead  text[];
    v_queue text;
BEGIN
    SELECT coalesce(array_agg(c.client_id), '{}') INTO v_free
    FROM (
        SELECT r.attempted_by[cardinality(r.attempted_by)] AS client_id
        FROM authsync.river_job AS r
        WHERE r.state = 'running'
        UNION
        SELECT f.leased_by FROM authsync.destination_progress AS f WHERE f.leased_by IS NOT NULL
    ) AS c
    WHERE c.client_id <> p_client_id
      AND pg_try_advisory_xact_lock_shared(authsync.client_lock_key(c.client_id));

    SELECT coalesce(array_agg(f.client_id), '{}') INTO v_dead
    FROM unnest(v_free) AS f (client_id)
    WHERE f.client_id = ANY (p_suspects);

    rescued := 0;
    -- A time in the future comes from a wrong clock.
    FOR v_queue IN
        WITH lost AS (
            SELECT r.id
            FROM authsync.river_job AS r
            WHERE r.state = 'running'
              AND CASE
                  WHEN r.attempted_by[cardinality(r.attempted_by)] = ANY (v_dead) THEN true
                  WHEN r.attempted_by[cardinality(r.attempted_by)] = p_client_id AND r.id <> ALL (p_at_work)
                      THEN r.attempted_at NOT BETWEEN v_now - interval '2 seconds' AND v_now
                  ELSE r.attempted_at NOT BETWEEN v_now - p_stuck_after AND v_now + interval '1 minute'
              END
            ORDER BY r.id
            FOR UPDATE SKIP LOCKED
        )
        UPDATE authsync.river_job AS r
        SET state = CASE WHEN r.metadata ? 'cancel_attempted_at' THEN 'cancelled' ELSE 'available' END::authsync.river_job_state,
            finalized_at = CASE WHEN r.metadata ? 'cancel_attempted_at' THEN v_now END,
            attempt = greatest(r.attempt - 1, 0),
            scheduled_at = v_now + CASE
                WHEN coalesce((r.metadata ->> 'rescues')::integer, 0) < 2 THEN interval '0'
                ELSE interval '1 second' * 2 ^ least((r.metadata ->> 'rescues')::integer - 2, 3)
            END,
            metadata = r.metadata || jsonb_build_object(
                'rescues', coalesce((r.metadata ->> 'rescues')::integer, 0) + 1,
                'rescued_from', r.attempted_by[cardinality(r.attempted_by)],
                'rescued_at', v_now
            )
        FROM lost
        WHERE r.id = lost.id
        RETURNING r.queue
    LOOP
        rescued := rescued + 1;
        PERFORM pg_notify('authsync.river_insert', json_build_object('queue', v_queue)::text);
    END LOOP;

    UPDATE authsync.destination_progress AS f
    SET lease = NULL, leased_until = NULL, leased_by = NULL, leased_job = NULL
    WHERE f.leased_by = ANY (v_dead)
       OR (f.leased_by = p_client_id AND f.leased_job <> ALL (p_at_work) AND f.leased_until < v_now + p_lease - interval '2 seconds');

    suspects := v_free;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION authsync.rescue_jobs(p_client_id text, p_at_work bigint[], p_suspects text[], p_stuck_after interval, p_lease interval, p_now timestamp with time zone) IS 'Makes running jobs available that nobody works any more, and frees the leases of dead clients.';

CREATE FUNCTION authsync.rescue_requests(p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_now     timestamptz := coalesce(p_now, clock_timestamp());
    v_request authsync.job_requests;
    v_made    bigint := 0::bigint;
BEGIN
    FOR v_request IN
        SELECT r.*
        FROM authsync.job_requests AS r
        WHERE r.job_id IS NOT NULL
          -- One look-up for each. NOT EXISTS may be answered by reading all jobs.
          AND (SELECT j.finalized_at IS NULL FROM authsync.river_job AS j WHERE j.id = r.job_id LIMIT 1) IS NOT TRUE
        ORDER BY r.kind, r.subject
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        -- The row is as it is now, but the job was looked for as of the beginning: another call may have made one since.
        CONTINUE WHEN EXISTS (
            SELECT FROM authsync.river_job AS j WHERE j.id = v_request.job_id AND j.finalized_at IS NULL
        );
        UPDATE authsync.job_requests AS r
        SET job_id = authsync.start_job(v_request.kind, v_request.args, true)
        WHERE r.kind = v_request.kind AND r.subject = v_request.subject;
        v_made := v_made + 1::bigint;
    END LOOP;

    UPDATE authsync.river_job AS j
    SET scheduled_at = v_now + interval '10 minutes'
    WHERE j.id = ANY (ARRAY(
            SELECT r.job_id
            FROM authsync.job_requests AS r
            WHERE r.job_id IS NOT NULL
              AND (
                  SELECT s.scheduled_at > v_now + interval '11 minutes' -- the minute keeps this from being done each second
                  FROM authsync.river_job AS s
                  WHERE s.id = r.job_id
                  LIMIT 1
              )
        ))
      AND j.state::text IN ('scheduled', 'retryable'); -- no index has it as text: a plan by it would read all that wait

    RETURN v_made;
END;
$$;

COMMENT ON FUNCTION authsync.rescue_requests(p_now timestamp with time zone) IS 'Makes jobs for subjects that have work but no job, and brings forward long snoozes.';

CREATE FUNCTION authsync.resume_destination(p_destination_id uuid, p_now timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_was authsync.destinations;
BEGIN
    PERFORM authsync.close_breaker(p_destination_id, true);

    SELECT d.* INTO v_was
    FROM authsync.destinations AS d
    WHERE d.id = p_destination_id
    FOR NO KEY UPDATE;

    UPDATE authsync.destinations AS d
    SET state         = 'active',
        state_by      = 'user',
        state_reason  = NULL,
        state_since   = CASE WHEN d.state = 'active' THEN d.state_since ELSE p_now END,
        filter_halted = false
    WHERE d.id = p_destination_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    UPDATE authsync.deliveries AS d
    SET deferrals = 0, deferred_at = NULL
    WHERE d.destination_id = p_destination_id AND d.state = 'retrying' AND d.deferred_at IS NOT NULL;
    PERFORM authsync.requeue_retrying_deliveries(p_destination_id, NULL);

    IF NOT authsync.request_delivery(p_destination_id) THEN
        -- River uses the database's clock, from which ours may differ.
        UPDATE authsync.river_job AS j
        SET state = 'available', scheduled_at = now()
        FROM authsync.job_requests AS r
        WHERE r.kind = 'deliver' AND r.subject = p_destination_id::text AND j.id = r.job_id
          AND j.state IN ('available', 'scheduled', 'retryable');
        IF FOUND THEN
            PERFORM pg_notify('authsync.river_insert', '{"queue": "deliver"}');
        ELSE
            -- It runs, and may be about to wait for the breaker that is closed now. Another
            -- takes its place; the lease lets only one of them send.
            UPDATE authsync.job_requests AS r
            SET job_id = authsync.start_job(r.kind, r.args, true)
            WHERE r.kind = 'deliver' AND r.subject = p_destination_id::text;
        END IF;
    END IF;

    IF v_was.filter_halted THEN
        PERFORM authsync.request_relay(v_was.project_id);
    END IF;
    RETURN true;
END;
$$;

COMMENT ON FUNCTION authsync.resume_destination(p_destination_id uuid, p_now timestamp with time zone) IS 'Makes a destination active and sends its waiting deliveries.';

CREATE FUNCTION authsync.retry_delivery(p_project_id uuid, p_id bigint) RETURNS TABLE(state text, coalesced_into bigint, is_being_sent boolean)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_destination_id uuid;
BEGIN
    SELECT d.destination_id INTO v_destination_id
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    SELECT d.state, d.coalesced_into INTO state, coalesced_into
    FROM authsync.deliveries AS d
    WHERE d.id = p_id AND d.project_id IS NOT DISTINCT FROM p_project_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_being_sent := false;
    IF state = 'retrying' THEN
        is_being_sent := authsync.requeue_retrying_deliveries(v_destination_id, ARRAY[p_id]) = 0;
        IF NOT is_being_sent THEN
            UPDATE authsync.deliveries AS d
            SET deferrals = 0, deferred_at = NULL
            WHERE d.id = p_id;
            PERFORM authsync.request_delivery(v_destination_id);
        END IF;
    ELSIF state IN ('delivered', 'failed', 'cancelled') THEN
        is_being_sent := authsync.requeue_deliveries(v_destination_id, ARRAY[p_id]) IS NOT DISTINCT FROM 0;
    END IF;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION authsync.retry_delivery(p_project_id uuid, p_id bigint) IS 'Requeues a finished delivery, or makes a retrying one due now.';

CREATE FUNCTION authsync.return_breaker_probe(p_destination_id uuid, p_now timestamp with time zone) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    UPDATE authsync.destination_progress AS f
    SET breaker_open_until = p_now
    WHERE f.destination_id = p_destination_id AND f.breaker_open_until IS NOT NULL;
$$;

COMMENT ON FUNCTION authsync.return_breaker_probe(p_destination_id uuid, p_now timestamp with time zone) IS 'Lets another job probe a destination whose circuit breaker is open.';

CREATE FUNCTION authsync.return_delivery(p_id bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    v_destination_id uuid;
BEGIN
    SELECT d.destination_id INTO v_destination_id FROM authsync.deliveries AS d WHERE d.id = p_id;
    PERFORM FROM authsync.destination_progress AS f WHERE f.destination_id = v_destination_id FOR UPDATE;

    UPDATE authsync.deliveries AS d
    SET state = 'ready', next_attempt_at = NULL, job_id = NULL
    WHERE d.id = p_id AND d.state IS NOT DISTINCT FROM 'retrying';
    IF FOUND THEN
        PERFORM authsync.request_delivery(v_destination_id);
        RETURN true;
    END IF;
    IF EXISTS (SELECT FROM authsync.deliveries AS d WHERE d.id = p_id AND d.state IS NOT DISTINCT FROM 'failed') THEN
        RETURN authsync.requeue_deliveries(v_destination_id, ARRAY[p_id]) > 0;
    END IF;
    RETURN false;
END;
$$;

COMMENT ON FUNCTION authsync.return_delivery(p_id bigint) IS 'Moves a delivery from its own job to its destination''s job.';

CREATE FUNCTION authsync.river_job_state_in_bitmask(bitmask bit, state authsync.river_job_state) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE state
        WHEN 'available' THEN get_bit(bitmask, 7)
        WHEN 'cancelled' THEN get_bit(bitmask, 6)
        WHEN 'completed' THEN get_bit(bitmask, 5)
        WHEN 'discarded' THEN get_bit(bitmask, 4)
        WHEN 'pending'   THEN get_bit(bitmask, 3)
        WHEN 'retryable' THEN get_bit(bitmask, 2)
        WHEN 'running'   THEN get_bit(bitmask, 1)
        WHEN 'scheduled' THEN get_bit(bitmask, 0)
        ELSE 0
    END = 1;
$$;

CREATE FUNCTION authsync.start_job(p_kind text, p_args jsonb, p_notify boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_queue text := CASE p_kind
        WHEN 'relay_changes' THEN 'relay'
        WHEN 'deliver' THEN 'deliver'
        WHEN 'refresh_users' THEN 'refreshes'
        WHEN 'backfill' THEN 'backfills'
        WHEN 'provision_webhook' THEN 'webhooks'
        WHEN 'copy_mirror' THEN 'clones'
        ELSE 'default'
    END;
    v_id    bigint;
BEGIN
    INSERT INTO authsync.river_job AS j (kind, queue, max_attempts, args)
    VALUES (p_kind, v_queue, 30000, p_args)
    RETURNING j.id INTO v_id;

    IF p_notify THEN
        PERFORM pg_notify('authsync.river_insert', format('{"queue": "%s"}', v_queue));
    END IF;
    RETURN v_id;
END;
$$;

COMMENT ON FUNCTION authsync.start_job(p_kind text, p_args jsonb, p_notify boolean) IS 'Inserts the job of a subject.';

CREATE FUNCTION authsync.take_breaker_probe(p_destination_id uuid, p_open_until timestamp with time zone, p_now timestamp with time zone, p_probe_for interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    UPDATE authsync.destination_progress AS f
    SET breaker_open_until = p_now + p_probe_for
    WHERE f.destination_id = p_destination_id AND f.breaker_open_until = p_open_until;
    RETURN FOUND;
END;
$$;

COMMENT ON FUNCTION authsync.take_breaker_probe(p_destination_id uuid, p_open_until timestamp with time zone, p_now timestamp with time zone, p_probe_for interval) IS 'Lets one job probe a destination whose circuit breaker is open.';

CREATE FUNCTION authsync.take_deliveries(p_destination_id uuid, p_states boolean, p_limit integer, p_except bigint[], p_id bigint, p_in_state text) RETURNS TABLE(id bigint, project_id uuid, change_id bigint, first_change_id bigint, last_change_id bigint, as_of bigint, record_type text, record_id text, event_type text, changed text[], changed_at timestamp with time zone, state text, attempts integer, begun boolean, coalesced bigint[], external_id text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    v_first bigint;
    v_scout bigint;
BEGIN
    IF p_id IS NULL AND p_limit > 1 THEN
        SELECT o.change_id, s.id INTO v_first, v_scout
        FROM (
            SELECT d.change_id, d.deferred_at
            FROM authsync.deliveries AS d
            WHERE d.destination_id = p_destination_id AND d.state = 'ready' AND d.id <> ALL (p_except)
            ORDER BY d.change_id
            LIMIT 1
        ) AS o
        CROSS JOIN LATERAL (
            SELECT n.id
            FROM (
                SELECT d.id, d.deferred_at
                FROM authsync.deliveries AS d
                WHERE d.destination_id = p_destination_id AND d.state = 'ready'
                ORDER BY d.change_id DESC
                LIMIT 50
            ) AS n
            WHERE n.deferred_at IS NULL AND n.id <> ALL (p_except)
            LIMIT 1
        ) AS s
        WHERE o.deferred_at IS NOT NULL;
    END IF;

    RETURN QUERY
    SELECT
        h.id, h.project_id, h.change_id,
        least(h.first_change_id, h.change_id, u.first_change_id),
        greatest(h.change_id, u.last_change_id),
        -- That waiting one may begin with a deletion that it undoes.
        least(coalesce(least(later.first_change_id, later.change_id) - 1, f.cursor), withheld.change_id - 1),
        h.record_type, h.record_id, h.event_type, h.changed, coalesce(h.released_at, h.changed_at), h.state, h.attempts,
        h.begun OR coalesce(u.begun, false),
        coalesce(u.ids, '{}'), l.external_id
    FROM (
        (SELECT d.*
        FROM authsync.deliveries AS d
        WHERE p_id IS NULL AND d.destination_id = p_destination_id AND d.state = 'ready' AND d.id <> ALL (p_except)
          AND d.id IS DISTINCT FROM v_scout
        ORDER BY d.change_id
        LIMIT p_limit - CASE WHEN v_scout IS NULL THEN 0 ELSE 1 END)
        UNION ALL
        -- Written so that only the index on id can be used.
        SELECT d.* FROM authsync.deliveries AS d WHERE d.id = p_id AND d.state IS NOT DISTINCT FROM p_in_state
        UNION ALL
        SELECT d.* FROM authsync.deliveries AS d WHERE d.id = v_scout AND d.state IS NOT DISTINCT FROM 'ready'
    ) AS h
    JOIN authsync.destinations AS t ON t.id = p_destination_id AND t.state = 'active'
    JOIN authsync.destination_progress AS f ON f.destination_id = p_destination_id
    LEFT JOIN authsync.external_ids AS l
        ON l.destination_id = p_destination_id AND l.record_type = h.record_type AND l.record_id = h.record_id
    -- The first of another record that waits, and the first of this one that has to wait for it. The former walks over
    -- what waits of this record, which is read below as well; the latter is one look-up.
    LEFT JOIN LATERAL (
        SELECT w.change_id
        FROM authsync.deliveries AS w
        WHERE p_states AND w.destination_id = p_destination_id AND w.order_key = h.order_key AND w.state = 'blocked'
          AND (w.record_type <> h.record_type OR w.record_id <> h.record_id)
        ORDER BY w.change_id
        LIMIT 1
    ) AS other ON true
    LEFT JOIN LATERAL (
        SELECT w.change_id, w.first_change_id
        FROM authsync.deliveries AS w
        -- By all columns of deliveries_unfinished_idx and in the words of its predicate: no plan can walk over what else waits.
        WHERE p_states AND other.change_id IS NOT NULL AND w.finished_at IS NULL AND w.state IS NOT DISTINCT FROM 'blocked'
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              > (h.record_id, h.record_type, p_destination_id, greatest(h.change_id, other.change_id))
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              <= (h.record_id, h.record_type, p_destination_id, 9223372036854775807)
        ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
        LIMIT 1
    ) AS later ON true
    LEFT JOIN LATERAL (
        SELECT
            array_agg(o.id) AS ids,
            bool_or(o.begun) AS begun,
            least(min(o.first_change_id), min(o.change_id)) AS first_change_id,
            max(o.change_id) FILTER (WHERE o.state = 'blocked') AS last_change_id
        FROM (
            SELECT w.id, w.state, w.change_id, w.first_change_id, w.begun
            FROM authsync.deliveries AS w
            WHERE w.finished_at IS NULL AND w.state IS NOT DISTINCT FROM 'blocked'
              AND (w.record_id, w.record_type, w.destination_id, w.change_id) >= (h.record_id, h.record_type, p_destination_id, 0)
              AND (w.record_id, w.record_type, w.destination_id, w.change_id)
                  < (h.record_id, h.record_type, p_destination_id, coalesce(later.change_id, 9223372036854775807))
            UNION ALL
            SELECT w.id, w.state, w.change_id, w.first_change_id, w.begun
            FROM authsync.deliveries AS w
            WHERE w.destination_id = p_destination_id AND w.record_type = h.record_type AND w.record_id = h.record_id
              AND w.state = 'failed' AND (later.change_id IS NULL OR w.change_id < later.change_id)
        ) AS o
        WHERE p_states
    ) AS u ON true
    -- A deletion that it is not to hear of, or not yet, must not show in an earlier change either.
    LEFT JOIN LATERAL (
        SELECT w.change_id
        FROM authsync.deliveries AS w
        WHERE p_states AND w.held_from IS NOT NULL AND (w.state || '') IN ('held', 'cancelled')
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              > (h.record_id, h.record_type, p_destination_id, greatest(h.change_id, u.last_change_id))
          AND (w.record_id, w.record_type, w.destination_id, w.change_id)
              <= (h.record_id, h.record_type, p_destination_id, 9223372036854775807)
        ORDER BY w.record_id, w.record_type, w.destination_id, w.change_id
        LIMIT 1
    ) AS withheld ON true
    ORDER BY CASE WHEN h.id = v_scout THEN v_first ELSE h.change_id END, h.change_id;
END;
$$;

COMMENT ON FUNCTION authsync.take_deliveries(p_destination_id uuid, p_states boolean, p_limit integer, p_except bigint[], p_id bigint, p_in_state text) IS 'Deliveries that can be sent now, each with what can be coalesced with it.';

CREATE FUNCTION authsync.take_permit(p_scope text, p_bucket text, p_requests integer, p_per interval, p_daily integer, p_zone text, p_late interval, p_patience interval, p_now timestamp with time zone) RETURNS TABLE(is_granted boolean, wait interval, reason text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    v_limit   authsync.rate_limits;
    v_today   date := (p_now AT TIME ZONE p_zone)::date;
    v_burst   integer := greatest(p_requests / 10, 1);
    v_spacing interval := interval '0';
    v_at      timestamptz;
BEGIN
    INSERT INTO authsync.rate_limits AS l (scope, bucket)
    VALUES (p_scope, p_bucket)
    ON CONFLICT (scope, bucket) DO NOTHING;

    SELECT l.* INTO v_limit
    FROM authsync.rate_limits AS l
    WHERE l.scope = p_scope AND l.bucket = p_bucket
    FOR UPDATE;

    IF v_limit.day IS DISTINCT FROM v_today THEN
        v_limit.day_requests := 0;
    END IF;
    IF p_requests > 0 THEN
        v_spacing := (p_per + p_late) / greatest(p_requests - v_burst, 1);
    END IF;
    v_at := greatest(p_now, v_limit.blocked_until, v_limit.tat - (v_burst - 1) * v_spacing);
    is_granted := false;
    IF p_daily > 0 AND v_limit.day_requests >= p_daily THEN
        wait := ((v_today + 1)::timestamp AT TIME ZONE p_zone) - p_now;
        reason := format('the %s requests that the account allows for a day (%s) are used up', p_daily, p_zone);
    ELSIF v_at > p_now + p_patience THEN
        wait := v_at - p_now;
        reason := CASE
            WHEN v_limit.blocked_until >= v_at THEN coalesce(v_limit.reason, 'the other side takes no requests for a while')
            ELSE format('the account allows %s requests in %s s, and they are spoken for', p_requests, extract(epoch FROM p_per)::integer)
        END;
    ELSE
        is_granted := true;
        wait := v_at - p_now;
        UPDATE authsync.rate_limits AS l
        SET tat = greatest(v_limit.tat, v_at) + v_spacing, day = v_today, day_requests = v_limit.day_requests + 1
        WHERE l.scope = p_scope AND l.bucket = p_bucket;
    END IF;
    RETURN NEXT;
END;
$$;

COMMENT ON FUNCTION authsync.take_permit(p_scope text, p_bucket text, p_requests integer, p_per interval, p_daily integer, p_zone text, p_late interval, p_patience interval, p_now timestamp with time zone) IS 'Grants requests of an account within its rate limits, over all processes.';

CREATE FUNCTION authsync.trace_parents(p_project_id uuid, p_event_ids text[]) RETURNS TABLE(event_id text, traceparent text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT w.event_id, i.traceparent
    FROM unnest(p_event_ids) AS w (event_id)
    CROSS JOIN LATERAL (
        SELECT m.headers ->> 'Traceparent' AS traceparent
        FROM (
            SELECT o.inbox_id, o.received_at, o.project_id, o.outcome
            FROM authsync.event_outcomes AS o
            WHERE o.event_id = w.event_id
            ORDER BY o.event_id DESC, o.inbox_id DESC, o.ordinal DESC
            LIMIT 10
        ) AS e
        CROSS JOIN LATERAL (
            SELECT n.headers
            FROM authsync.inbox AS n
            WHERE n.id = e.inbox_id AND n.received_at = e.received_at
            LIMIT 1
        ) AS m
        WHERE e.project_id = p_project_id AND e.outcome = 'applied'
        ORDER BY e.inbox_id
        LIMIT 1
    ) AS i
    WHERE i.traceparent IS NOT NULL;
$$;

COMMENT ON FUNCTION authsync.trace_parents(p_project_id uuid, p_event_ids text[]) IS 'The traceparents of the messages that brought some events.';

CREATE TABLE authsync.api_keys (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    project_id uuid,
    name text NOT NULL,
    hint text NOT NULL,
    key_hash bytea NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT api_keys_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT api_keys_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'operator'::text, 'read_only'::text])))
);

COMMENT ON TABLE authsync.api_keys IS 'Keys of the management API. The key itself is shown once and never stored.';

COMMENT ON COLUMN authsync.api_keys.project_id IS 'The only project the key may manage; NULL: all projects.';

COMMENT ON COLUMN authsync.api_keys.hint IS 'The first characters of the key, to tell keys apart.';

COMMENT ON COLUMN authsync.api_keys.key_hash IS 'SHA-256 of the key; the key has 256 random bits, so a slow hash would add nothing.';

COMMENT ON COLUMN authsync.api_keys.role IS 'What the key may do. read_only: look; operator: also start, repeat and stop work; admin: also change settings, rights and keys.';

COMMENT ON COLUMN authsync.api_keys.expires_at IS 'From then on the key is refused, as if it were revoked; NULL: never.';

COMMENT ON COLUMN authsync.api_keys.last_used_at IS 'True to the minute, so that not every request writes; NULL: never used.';

CREATE TABLE authsync.audit_log (
    id bigint NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    key_id uuid,
    key_name text,
    key_role text,
    via text NOT NULL,
    action text NOT NULL,
    project_id uuid,
    project_name text,
    object_id text,
    remote_address inet,
    user_agent text,
    request_id text,
    request_count bigint DEFAULT 1 NOT NULL,
    outcome text NOT NULL,
    status integer,
    code text,
    changes jsonb DEFAULT '{}'::jsonb NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT audit_log_action_check CHECK ((action ~ '^[a-z_]+\.[a-z_]+$'::text)),
    CONSTRAINT audit_log_actor_check CHECK ((actor = ANY (ARRAY['key'::text, 'command'::text, 'system'::text, 'unknown'::text]))),
    CONSTRAINT audit_log_finished_at_check CHECK (((finished_at IS NULL) = (outcome = 'pending'::text))),
    CONSTRAINT audit_log_outcome_check CHECK ((outcome = ANY (ARRAY['pending'::text, 'succeeded'::text, 'failed'::text, 'refused'::text]))),
    CONSTRAINT audit_log_via_check CHECK ((via = ANY (ARRAY['api'::text, 'dashboard'::text, 'command'::text, 'server'::text])))
);

COMMENT ON TABLE authsync.audit_log IS 'Every management action, one row each, and refused attempts. Append-only: a trigger refuses changes, and deletion for 400 days.';

COMMENT ON COLUMN authsync.audit_log.occurred_at IS 'When the action began; of refused attempts that share a row, when the first one was made.';

COMMENT ON COLUMN authsync.audit_log.actor IS 'key: who held that API key. command: who ran authsync with access to the control database. system: authsync by itself. unknown: no valid key was shown.';

COMMENT ON COLUMN authsync.audit_log.key_name IS 'As it was then, like key_role and project_name.';

COMMENT ON COLUMN authsync.audit_log.via IS 'Where the action was requested: api, dashboard, command, or server for authsync itself.';

COMMENT ON COLUMN authsync.audit_log.action IS 'An object and a verb, such as destination.pause.';

COMMENT ON COLUMN authsync.audit_log.object_id IS 'What the action was about, within the project; the id of a user or record only as a digest.';

COMMENT ON COLUMN authsync.audit_log.remote_address IS 'Where the request came from; NULL for a command.';

COMMENT ON COLUMN authsync.audit_log.user_agent IS 'As the request said, shortened.';

COMMENT ON COLUMN authsync.audit_log.request_id IS 'The id in the log of the server and in the answer.';

COMMENT ON COLUMN authsync.audit_log.request_count IS 'Number of requests: refused attempts of the same kind, by the same key and from the same address, share a row.';

COMMENT ON COLUMN authsync.audit_log.outcome IS 'pending: in progress, or its process ended before it could say. refused: the key may not, or there was none.';

COMMENT ON COLUMN authsync.audit_log.status IS 'The HTTP status of the answer; NULL for a command.';

COMMENT ON COLUMN authsync.audit_log.code IS 'The code of the error in the answer; NULL: it succeeded.';

COMMENT ON COLUMN authsync.audit_log.changes IS 'The fields that the action set. Secrets, and all other text that may hold one, only as a keyed digest (hmac-sha256).';

ALTER TABLE authsync.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE authsync.clones (
    project_id uuid NOT NULL,
    source_project_id uuid,
    source_name text NOT NULL,
    mode text NOT NULL,
    phase text DEFAULT 'begin'::text NOT NULL,
    place jsonb,
    steps bigint DEFAULT 0 NOT NULL,
    account_marks jsonb DEFAULT '{}'::jsonb NOT NULL,
    rows_expected bigint,
    rows_copied bigint DEFAULT 0 NOT NULL,
    changes_copied bigint DEFAULT 0 NOT NULL,
    changes_behind bigint,
    copied_at timestamp with time zone,
    caught_up_at timestamp with time zone,
    wait_reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT clones_mode_check CHECK ((mode = ANY (ARRAY['following'::text, 'still'::text]))),
    CONSTRAINT clones_phase_check CHECK ((phase = ANY (ARRAY['begin'::text, 'copy'::text, 'remove'::text, 'changes'::text, 'following'::text, 'still'::text]))),
    CONSTRAINT clones_source_check CHECK (((source_project_id IS NOT NULL) OR (phase = 'still'::text)))
);

COMMENT ON TABLE authsync.clones IS 'Projects whose mirror is made from the mirror of another project, the source.';

COMMENT ON COLUMN authsync.clones.source_project_id IS 'The source; NULL: it was detached after the clone had come to a standstill.';

COMMENT ON COLUMN authsync.clones.source_name IS 'The name of the source when the clone was made.';

COMMENT ON COLUMN authsync.clones.mode IS 'following: what changes in the source changes in the clone; still: the clone stays as it was copied.';

COMMENT ON COLUMN authsync.clones.phase IS 'begin; copy: rows are copied; remove: rows that the source does not have are removed; changes: the change feed is copied; following: it follows; still: it stands still.';

COMMENT ON COLUMN authsync.clones.place IS 'The table, and the key of the last row of a full copy; NULL: there is none under way.';

COMMENT ON COLUMN authsync.clones.steps IS 'Grows by one with each step, so that of two workers only one goes on.';

COMMENT ON COLUMN authsync.clones.account_marks IS 'The accounts whose users the source had, by provider, as integrations.account_mark: an integration of a clone''s own must be of the same.';

COMMENT ON COLUMN authsync.clones.rows_expected IS 'How many rows the source had when the last full copy began, as PostgreSQL estimates.';

COMMENT ON COLUMN authsync.clones.rows_copied IS 'How many rows the last full copy has read.';

COMMENT ON COLUMN authsync.clones.changes_copied IS 'How many changes of the feed were copied.';

COMMENT ON COLUMN authsync.clones.changes_behind IS 'How many changes of the source''s feed the clone lacked when it looked last, at most; NULL: not known yet.';

COMMENT ON COLUMN authsync.clones.copied_at IS 'When the last full copy ended; NULL: none has.';

COMMENT ON COLUMN authsync.clones.caught_up_at IS 'When the clone last had all that the source had; NULL: never yet.';

COMMENT ON COLUMN authsync.clones.wait_reason IS 'What it waits for; NULL: nothing.';

CREATE TABLE authsync.deliveries (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    destination_id uuid NOT NULL,
    change_id bigint NOT NULL,
    first_change_id bigint,
    record_type text NOT NULL,
    record_id text NOT NULL,
    user_id text,
    order_key text NOT NULL,
    event_type text NOT NULL,
    changed text[] NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    event_id text,
    state text NOT NULL,
    held_from timestamp with time zone,
    released_at timestamp with time zone,
    reason text,
    coalesced_into bigint,
    begun boolean DEFAULT false NOT NULL,
    begun_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone,
    last_attempt_at timestamp with time zone,
    last_status integer,
    last_response text,
    attempt_log jsonb[],
    deferrals integer DEFAULT 0 NOT NULL,
    deferred_at timestamp with time zone,
    job_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT deliveries_event_type_check CHECK ((((((event_type = (record_type || '.created'::text)) OR (event_type = (record_type || '.updated'::text))) OR (event_type = (record_type || '.deleted'::text))) OR (event_type = (record_type || '.restored'::text))) OR (event_type = 'user.erased'::text))),
    CONSTRAINT deliveries_finished_at_check CHECK (((finished_at IS NULL) = (state = ANY (ARRAY['held'::text, 'blocked'::text, 'ready'::text, 'retrying'::text])))),
    CONSTRAINT deliveries_held_from_check CHECK (((state <> 'held'::text) OR (held_from IS NOT NULL))),
    CONSTRAINT deliveries_record_type_check CHECK ((record_type = ANY (ARRAY['user'::text, 'organization'::text, 'membership'::text, 'invitation'::text, 'session'::text]))),
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['held'::text, 'blocked'::text, 'ready'::text, 'retrying'::text, 'delivered'::text, 'coalesced'::text, 'failed'::text, 'cancelled'::text])))
);

COMMENT ON TABLE authsync.deliveries IS 'One row per change and destination that receives it. The body is read from the project''s database when it is sent.';

COMMENT ON COLUMN authsync.deliveries.change_id IS 'capydb_auth.changes.id in the project''s database.';

COMMENT ON COLUMN authsync.deliveries.first_change_id IS 'The earliest change coalesced into it; NULL: it stands for its own change alone.';

COMMENT ON COLUMN authsync.deliveries.record_id IS 'The provider''s id of the record; of a membership organization_id/user_id, see capydb_auth.event.record_id.';

COMMENT ON COLUMN authsync.deliveries.user_id IS 'The user that the record is or belongs to; NULL: none.';

COMMENT ON COLUMN authsync.deliveries.order_key IS 'Deliveries with the same key are sent one after another: user:ID of a user, its memberships and sessions, organization:ID of an organization and its invitations, TYPE:ID of a record that belongs to neither. Unfinished deliveries of a record have the same key.';

COMMENT ON COLUMN authsync.deliveries.changed IS 'The changed columns.';

COMMENT ON COLUMN authsync.deliveries.event_id IS 'The event that made the change: it identifies a change that a repaired mirror makes again under another id.';

COMMENT ON COLUMN authsync.deliveries.state IS 'held: a deletion that is held back, or a later change of the deleted record; blocked: an earlier delivery with the same order key comes first; ready; retrying: failed or deferred, with a job of its own; delivered; coalesced: merged into coalesced_into; failed; cancelled.';

COMMENT ON COLUMN authsync.deliveries.held_from IS 'When the deletion was committed from which its holdback counts. It stays with a delivery that was cancelled while it was held: the destination is not to hear of that deletion, nor that it was undone. NULL: it is not held back, or no longer.';

COMMENT ON COLUMN authsync.deliveries.released_at IS 'When it was held no longer: it has waited since then. NULL: since its change.';

COMMENT ON COLUMN authsync.deliveries.reason IS 'Why it is in its state, where that adds to the state.';

COMMENT ON COLUMN authsync.deliveries.coalesced_into IS 'The later delivery that carries its change.';

COMMENT ON COLUMN authsync.deliveries.begun IS 'Sending a state with this change has begun at least once, so it may have arrived whatever else is recorded.';

COMMENT ON COLUMN authsync.deliveries.begun_at IS 'When the attempt began whose outcome is not recorded: it is under way, or its process died. Destinations that take states only; see begin_deliveries.';

COMMENT ON COLUMN authsync.deliveries.attempts IS 'How often it was sent.';

COMMENT ON COLUMN authsync.deliveries.last_response IS 'The last response of the destination, at most 4 kB.';

COMMENT ON COLUMN authsync.deliveries.attempt_log IS 'Its last attempts, oldest first, see authsync.add_attempt; NULL: none, or one that succeeded, which the other columns describe.';

COMMENT ON COLUMN authsync.deliveries.deferrals IS 'How often it was deferred (429, 503) again after the destination had accepted a later request. A deferral costs no attempt, because it is about the destination; one that always hits the same delivery must still come to an end.';

COMMENT ON COLUMN authsync.deliveries.deferred_at IS 'When the request that was last deferred was sent; NULL: none since it was last made ready.';

COMMENT ON COLUMN authsync.deliveries.job_id IS 'The job that retries it (river_job.id).';

ALTER TABLE authsync.deliveries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.deliveries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE authsync.destinations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    event_types text[] DEFAULT '{user.created,user.updated,user.deleted,user.restored}'::text[] NOT NULL,
    fields text[] DEFAULT '{}'::text[] NOT NULL,
    condition text,
    holdback interval,
    options jsonb DEFAULT '{}'::jsonb NOT NULL,
    secrets_sealed bytea NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    state_by text DEFAULT 'user'::text NOT NULL,
    state_reason text,
    state_since timestamp with time zone DEFAULT now() NOT NULL,
    filter_halted boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT destinations_event_types_check CHECK (((event_types <> '{}'::text[]) AND (event_types <@ (((('{user.created,user.updated,user.deleted,user.restored,user.*}'::text[] || '{organization.created,organization.updated,organization.deleted,organization.restored,organization.*}'::text[]) || '{membership.created,membership.updated,membership.deleted,membership.restored,membership.*}'::text[]) || '{invitation.created,invitation.updated,invitation.deleted,invitation.restored,invitation.*}'::text[]) || '{session.created,session.updated,session.deleted,session.restored,session.*}'::text[])))),
    CONSTRAINT destinations_holdback_check CHECK (((holdback > '00:00:00'::interval) AND (holdback <= '30 days'::interval))),
    CONSTRAINT destinations_name_check CHECK ((name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
    CONSTRAINT destinations_state_by_check CHECK ((state_by = ANY (ARRAY['user'::text, 'system'::text]))),
    CONSTRAINT destinations_state_check CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'disabled'::text]))),
    CONSTRAINT destinations_type_check CHECK ((type = ANY (ARRAY['hubspot'::text, 'webhook'::text, 'http'::text])))
);

COMMENT ON TABLE authsync.destinations IS 'Where the changes of a project''s records are sent.';

COMMENT ON COLUMN authsync.destinations.name IS 'Name for people; the command accepts it in place of the id.';

COMMENT ON COLUMN authsync.destinations.type IS 'Which type of system it is.';

COMMENT ON COLUMN authsync.destinations.event_types IS 'The types of event it receives; organization.* stands for all of organizations.';

COMMENT ON COLUMN authsync.destinations.fields IS 'It receives only changes of these fields, such as email or raw.app_metadata.plan; empty: all.';

COMMENT ON COLUMN authsync.destinations.condition IS 'A jq expression that must be true of a change; NULL: none.';

COMMENT ON COLUMN authsync.destinations.holdback IS 'How long a deletion is held back, from its commit; it is not sent at all if the record is restored meanwhile. NULL: it is sent at once.';

COMMENT ON COLUMN authsync.destinations.options IS 'Settings of its type that are not secret.';

COMMENT ON COLUMN authsync.destinations.secrets_sealed IS 'Its secrets, encrypted with a key kept outside the database.';

COMMENT ON COLUMN authsync.destinations.state IS 'active; paused: nothing is sent until it is resumed; disabled: the same, after it failed for days or answered that it is gone.';

COMMENT ON COLUMN authsync.destinations.state_by IS 'Who set the state: user or system.';

COMMENT ON COLUMN authsync.destinations.state_reason IS 'Why it is in this state, and what to do.';

COMMENT ON COLUMN authsync.destinations.filter_halted IS 'Its fields or condition repeatedly cost too much to evaluate: its changes are not relayed until the filter is changed or it is resumed.';

CREATE TABLE authsync.projects (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    database_url_sealed bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    keep_inbox integer,
    keep_ledger integer,
    keep_changes integer,
    keep_deliveries integer,
    erasure_key_sealed bytea,
    CONSTRAINT projects_keep_check CHECK ((((keep_inbox >= 1) AND (keep_inbox <= 400)) AND ((keep_ledger >= 1) AND (keep_ledger <= 3650)) AND ((keep_changes >= 1) AND (keep_changes <= 3650)) AND ((keep_deliveries >= 1) AND (keep_deliveries <= 3650)))),
    CONSTRAINT projects_name_check CHECK ((name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text))
);

COMMENT ON TABLE authsync.projects IS 'Tenants. Each has one PostgreSQL database that holds its mirror.';

COMMENT ON COLUMN authsync.projects.name IS 'Name for people; the command accepts it in place of the id.';

COMMENT ON COLUMN authsync.projects.database_url_sealed IS 'Connection URL of the project database, encrypted with a key kept outside the database.';

COMMENT ON COLUMN authsync.projects.keep_inbox IS 'How many days messages and the outcomes of their events are kept; NULL: the server''s default, which is in no table.';

COMMENT ON COLUMN authsync.projects.keep_ledger IS 'Likewise rows of the ledger. It is never kept for less long than messages can be repeated.';

COMMENT ON COLUMN authsync.projects.keep_changes IS 'Likewise changes. The newest one of each record stays.';

COMMENT ON COLUMN authsync.projects.keep_deliveries IS 'Likewise finished deliveries.';

COMMENT ON COLUMN authsync.projects.erasure_key_sealed IS 'Key of the digests of erased records, encrypted with a key kept outside the database; NULL: nobody was erased.';

CREATE TABLE authsync.river_job (
    id bigint NOT NULL,
    state authsync.river_job_state DEFAULT 'available'::authsync.river_job_state NOT NULL,
    attempt smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 25 NOT NULL,
    attempted_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finalized_at timestamp with time zone,
    scheduled_at timestamp with time zone DEFAULT now() NOT NULL,
    priority smallint DEFAULT 1 NOT NULL,
    args jsonb NOT NULL,
    attempted_by text[],
    errors jsonb[],
    kind text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    queue text DEFAULT 'default'::text NOT NULL,
    tags character varying(255)[] DEFAULT '{}'::character varying[] NOT NULL,
    unique_key bytea,
    unique_states bit(8),
    CONSTRAINT finalized_or_finalized_at_null CHECK ((((finalized_at IS NULL) AND (state <> ALL (ARRAY['cancelled'::authsync.river_job_state, 'completed'::authsync.river_job_state, 'discarded'::authsync.river_job_state]))) OR ((finalized_at IS NOT NULL) AND (state = ANY (ARRAY['cancelled'::authsync.river_job_state, 'completed'::authsync.river_job_state, 'discarded'::authsync.river_job_state]))))),
    CONSTRAINT kind_length CHECK (((char_length(kind) > 0) AND (char_length(kind) < 128))),
    CONSTRAINT max_attempts_is_positive CHECK ((max_attempts > 0)),
    CONSTRAINT priority_in_range CHECK (((priority >= 1) AND (priority <= 4))),
    CONSTRAINT queue_length CHECK (((char_length(queue) > 0) AND (char_length(queue) < 128)))
);

CREATE VIEW authsync.delivery_failures AS
 SELECT o.id AS delivery_id,
    o.project_id,
    p.name AS project,
    o.destination_id,
    d.name AS destination,
    o.change_id,
    o.record_type,
    o.record_id,
    o.user_id,
    o.event_type,
    o.state,
    o.attempts,
    o.last_attempt_at,
    o.last_status,
    o.reason,
    o.next_attempt_at,
    o.changed_at,
    j.id AS job_id,
    j.state AS job_state,
    ( SELECT count(*) AS count
           FROM authsync.deliveries h
          WHERE ((h.destination_id = o.destination_id) AND (h.order_key = o.order_key) AND (h.state = 'blocked'::text))) AS blocked_deliveries
   FROM (((authsync.deliveries o
     JOIN authsync.destinations d ON ((d.id = o.destination_id)))
     JOIN authsync.projects p ON ((p.id = o.project_id)))
     LEFT JOIN authsync.river_job j ON ((j.id = o.job_id)))
  WHERE (o.state = ANY (ARRAY['retrying'::text, 'failed'::text]));

COMMENT ON VIEW authsync.delivery_failures IS 'Deliveries that failed, for good (failed) or until now (retrying).';

COMMENT ON COLUMN authsync.delivery_failures.reason IS 'Why it failed the last time.';

COMMENT ON COLUMN authsync.delivery_failures.job_state IS 'The state of the job that tries it again; NULL: there is none.';

COMMENT ON COLUMN authsync.delivery_failures.blocked_deliveries IS 'How many later deliveries with the same order key wait for it.';

CREATE TABLE authsync.destination_progress (
    destination_id uuid NOT NULL,
    cursor bigint NOT NULL,
    passed_until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    lease uuid,
    leased_by text,
    leased_job bigint,
    leased_until timestamp with time zone,
    consecutive_failures integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    breaker_open_until timestamp with time zone,
    breaker_trips integer DEFAULT 0 NOT NULL,
    breaker_failed_records text[] DEFAULT '{}'::text[] NOT NULL,
    last_success_at timestamp with time zone,
    last_success_sent_at timestamp with time zone
);

COMMENT ON TABLE authsync.destination_progress IS 'The progress and health of each destination. Read the view authsync.destination_health instead.';

COMMENT ON COLUMN authsync.destination_progress.cursor IS 'Deliveries have been made of all changes up to this capydb_auth.changes.id.';

COMMENT ON COLUMN authsync.destination_progress.passed_until IS 'When the mirror last lost changes, the destination had passed all those applied before this; infinity: all. See repeated_changes.';

COMMENT ON COLUMN authsync.destination_progress.lease IS 'The run of a job that may send to it.';

COMMENT ON COLUMN authsync.destination_progress.leased_by IS 'The River client that holds the lease; the lease ends with its process.';

COMMENT ON COLUMN authsync.destination_progress.leased_job IS 'The job that took the lease (river_job.id).';

COMMENT ON COLUMN authsync.destination_progress.leased_until IS 'No other run may send before this.';

COMMENT ON COLUMN authsync.destination_progress.consecutive_failures IS 'Attempts that failed since the last success.';

COMMENT ON COLUMN authsync.destination_progress.failing_since IS 'When the first of these failed; NULL: the last attempt succeeded.';

COMMENT ON COLUMN authsync.destination_progress.breaker_open_until IS 'The circuit breaker is open: nothing is sent before this, then one probe; NULL: it is closed.';

COMMENT ON COLUMN authsync.destination_progress.breaker_trips IS 'How often the breaker has opened since it was last closed.';

COMMENT ON COLUMN authsync.destination_progress.breaker_failed_records IS 'The order keys of deliveries that failed at their first attempt since the last success, at most as many as open the breaker. It counts users and organizations, not attempts or records, so that one whose data is always refused delays nobody else.';

COMMENT ON COLUMN authsync.destination_progress.last_success_sent_at IS 'When the most recently sent of all successful requests was sent.';

CREATE TABLE authsync.job_requests (
    kind text NOT NULL,
    subject text NOT NULL,
    args jsonb NOT NULL,
    job_id bigint,
    idle_since timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE authsync.job_requests IS 'Jobs that exist once per subject, such as a project, and which of them have work to do.';

COMMENT ON COLUMN authsync.job_requests.kind IS 'The kind of the job.';

COMMENT ON COLUMN authsync.job_requests.subject IS 'What the job works on: a project, a destination, a sync run, a provider of a project.';

COMMENT ON COLUMN authsync.job_requests.args IS 'The arguments of the job.';

COMMENT ON COLUMN authsync.job_requests.job_id IS 'The job (river_job.id); NULL: nothing to do.';

COMMENT ON COLUMN authsync.job_requests.idle_since IS 'When the last job ran out of work.';

CREATE VIEW authsync.destination_health AS
 SELECT d.id AS destination_id,
    d.project_id,
    p.name AS project,
    d.name,
    d.type,
    d.state,
    d.state_by,
    d.state_reason,
    d.state_since,
    w.waiting,
    w.oldest_waiting_at,
    w.retrying,
    w.failed,
    w.held,
    (w.held_from + COALESCE(d.holdback, '00:00:00'::interval)) AS held_until,
    f.last_success_at,
    f.failing_since,
    f.breaker_open_until,
    f.cursor,
    COALESCE(j.wait_reason, rj.wait_reason) AS wait_reason
   FROM (((((authsync.destinations d
     JOIN authsync.projects p ON ((p.id = d.project_id)))
     LEFT JOIN authsync.destination_progress f ON ((f.destination_id = d.id)))
     CROSS JOIN LATERAL ( SELECT LEAST((b.deliveries + u.deliveries), (10000)::bigint) AS waiting,
            LEAST(u.changed_at, r.changed_at) AS oldest_waiting_at,
            r.deliveries AS retrying,
            x.deliveries AS failed,
            h.deliveries AS held,
            h.held_from
           FROM ((((( SELECT count(*) AS deliveries
                   FROM ( SELECT
                           FROM authsync.deliveries o_1
                          WHERE ((o_1.destination_id = d.id) AND (o_1.state = 'blocked'::text))
                         LIMIT 10000) o) b
             CROSS JOIN ( SELECT count(*) AS deliveries,
                    min(o.changed_at) AS changed_at
                   FROM ( SELECT COALESCE(o_1.released_at, o_1.changed_at) AS changed_at
                           FROM authsync.deliveries o_1
                          WHERE ((o_1.destination_id = d.id) AND (o_1.state = 'ready'::text))
                          ORDER BY o_1.change_id
                         LIMIT 10000) o) u)
             CROSS JOIN ( SELECT count(*) AS deliveries,
                    min(o.changed_at) AS changed_at
                   FROM ( SELECT COALESCE(o_1.released_at, o_1.changed_at) AS changed_at
                           FROM authsync.deliveries o_1
                          WHERE ((o_1.destination_id = d.id) AND (o_1.state = 'retrying'::text))
                         LIMIT 10000) o) r)
             CROSS JOIN ( SELECT count(*) AS deliveries
                   FROM ( SELECT
                           FROM authsync.deliveries o_1
                          WHERE ((o_1.destination_id = d.id) AND (o_1.state = 'failed'::text))
                         LIMIT 10000) o) x)
             CROSS JOIN ( SELECT count(*) AS deliveries,
                    min(o.held_from) AS held_from
                   FROM ( SELECT o_1.held_from
                           FROM authsync.deliveries o_1
                          WHERE ((o_1.destination_id = d.id) AND (o_1.state = 'held'::text) AND (o_1.held_from IS NOT NULL))
                          ORDER BY o_1.held_from
                         LIMIT 10000) o) h)) w)
     LEFT JOIN LATERAL ( SELECT (q.metadata #>> '{output,wait_reason}'::text[]) AS wait_reason
           FROM (authsync.job_requests k
             JOIN authsync.river_job q ON (((q.id = k.job_id) AND (q.state <> 'running'::authsync.river_job_state))))
          WHERE ((k.kind = 'deliver'::text) AND (k.subject = (d.id)::text))) j ON (true))
     LEFT JOIN LATERAL ( SELECT (q.metadata #>> '{output,wait_reason}'::text[]) AS wait_reason
           FROM (authsync.job_requests k
             JOIN authsync.river_job q ON (((q.id = k.job_id) AND (q.state <> 'running'::authsync.river_job_state))))
          WHERE ((k.kind = 'relay_changes'::text) AND (k.subject = (d.project_id)::text))) rj ON (true));

COMMENT ON VIEW authsync.destination_health IS 'For each destination whether its deliveries get through, and if not, why.';

COMMENT ON COLUMN authsync.destination_health.waiting IS 'Deliveries that wait for their turn; 10000 stands for as many or more, as in the other counts.';

COMMENT ON COLUMN authsync.destination_health.oldest_waiting_at IS 'When the oldest change that is not delivered was made, or was released if it was held; NULL: all are.';

COMMENT ON COLUMN authsync.destination_health.retrying IS 'Deliveries that failed and are tried again by jobs of their own.';

COMMENT ON COLUMN authsync.destination_health.failed IS 'Deliveries that were given up; see authsync.delivery_failures.';

COMMENT ON COLUMN authsync.destination_health.held IS 'Deletions that are held back, and later changes of their records.';

COMMENT ON COLUMN authsync.destination_health.held_until IS 'When the first of these is sent; NULL: none is held.';

COMMENT ON COLUMN authsync.destination_health.breaker_open_until IS 'The circuit breaker is open: it is tried again then; NULL: it is closed.';

COMMENT ON COLUMN authsync.destination_health.wait_reason IS 'Why nothing is sent now, while its job or its project''s is deferred.';

CREATE TABLE authsync.directory_version (
    singleton boolean DEFAULT true NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT directory_version_singleton_check CHECK (singleton)
);

COMMENT ON TABLE authsync.directory_version IS 'Grows by one with every change of projects or integrations; processes reload when it does.';

COMMENT ON COLUMN authsync.directory_version.singleton IS 'Limits the table to one row.';

CREATE TABLE authsync.erasures (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    project_id uuid NOT NULL,
    digest bytea NOT NULL,
    subject_sealed bytea,
    requested_by text NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    phase text DEFAULT 'mark'::text NOT NULL,
    steps bigint DEFAULT 0 NOT NULL,
    counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    destinations jsonb DEFAULT '[]'::jsonb NOT NULL,
    clones jsonb DEFAULT '[]'::jsonb NOT NULL,
    wait_reason text,
    requested_at timestamp with time zone NOT NULL,
    marked_at timestamp with time zone,
    finished_at timestamp with time zone,
    invitation_digests bytea[] DEFAULT '{}'::bytea[] NOT NULL,
    CONSTRAINT erasures_finished_at_check CHECK (((finished_at IS NULL) = (state = 'running'::text))),
    CONSTRAINT erasures_phase_check CHECK ((phase = ANY (ARRAY['mark'::text, 'ledger'::text, 'mirror'::text, 'invitations'::text, 'events'::text, 'inbox'::text, 'remains'::text, 'clones'::text, 'destinations'::text, 'finish'::text]))),
    CONSTRAINT erasures_state_check CHECK ((state = ANY (ARRAY['running'::text, 'done'::text]))),
    CONSTRAINT erasures_subject_sealed_check CHECK (((subject_sealed IS NULL) = (state = 'done'::text)))
);

COMMENT ON TABLE authsync.erasures IS 'Persons who were erased or are being erased; a finished row is the receipt, without personal data.';

COMMENT ON COLUMN authsync.erasures.digest IS 'SHA-256 of the project''s erasure key, the record type user and the user''s id, as in capydb_auth.erasures.';

COMMENT ON COLUMN authsync.erasures.subject_sealed IS 'Who it is and how far it has come, encrypted with a key kept outside the database; NULL once it is done.';

COMMENT ON COLUMN authsync.erasures.requested_by IS 'The API key that asked for it: its id, which names no person.';

COMMENT ON COLUMN authsync.erasures.phase IS 'What is being removed: mark: the tombstone; ledger; mirror: rows and changes; invitations; events: outcomes and their messages; inbox: other messages; remains: the few other rows; clones: the same person''s erasure from each clone begins; destinations: waits until they have heard of it, and until clones are done; finish.';

COMMENT ON COLUMN authsync.erasures.steps IS 'Grows by one with each step, so that of two workers only one goes on.';

COMMENT ON COLUMN authsync.erasures.counts IS 'How many rows were removed or rewritten, by table.';

COMMENT ON COLUMN authsync.erasures.destinations IS 'What each destination has answered: name, type, state, status and when.';

COMMENT ON COLUMN authsync.erasures.clones IS 'The erasures of the same person from clones of the project: project, erasure, state, and when.';

COMMENT ON COLUMN authsync.erasures.wait_reason IS 'What it waits for; NULL: nothing.';

COMMENT ON COLUMN authsync.erasures.marked_at IS 'When the tombstone was set: from then on the person cannot come back.';

COMMENT ON COLUMN authsync.erasures.invitation_digests IS 'The digests of the invitations that were erased with the person, as in capydb_auth.erasures.';

CREATE TABLE authsync.event_outcomes (
    inbox_id bigint NOT NULL,
    ordinal integer NOT NULL,
    received_at timestamp with time zone NOT NULL,
    project_id uuid NOT NULL,
    event_id text,
    type text,
    user_id text,
    record_type text,
    record_id text,
    event_time timestamp with time zone,
    outcome text NOT NULL,
    reason text,
    applied_at timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT event_outcomes_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'stale'::text, 'duplicate'::text, 'ignored'::text, 'failed'::text, 'pending'::text])))
)
PARTITION BY RANGE (received_at);

COMMENT ON TABLE authsync.event_outcomes IS 'The outcome of each event of a message. Read the view authsync.events instead.';

COMMENT ON COLUMN authsync.event_outcomes.ordinal IS 'Place of the event in its message, from 0.';

COMMENT ON COLUMN authsync.event_outcomes.received_at IS 'As in authsync.inbox, so that retention drops both together.';

COMMENT ON COLUMN authsync.event_outcomes.user_id IS 'The user that the event is about, or whose membership or session it is about.';

COMMENT ON COLUMN authsync.event_outcomes.record_type IS 'organization, membership, invitation or session; NULL for a user.';

COMMENT ON COLUMN authsync.event_outcomes.record_id IS 'The id of that record; NULL for a user, whose id is user_id.';

COMMENT ON COLUMN authsync.event_outcomes.event_time IS 'The provider''s clock of the event.';

COMMENT ON COLUMN authsync.event_outcomes.applied_at IS 'When the outcome became final; NULL while it is failed or pending.';

COMMENT ON COLUMN authsync.event_outcomes.recorded_at IS 'When this row was first written.';

CREATE TABLE authsync.inbox (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    provider text NOT NULL,
    message_id text,
    verified_by text,
    received_at timestamp with time zone NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    excluded jsonb
)
PARTITION BY RANGE (received_at);

COMMENT ON TABLE authsync.inbox IS 'Every verified message as received, one row each. Append-only; partitioned by day, retention drops partitions.';

COMMENT ON COLUMN authsync.inbox.message_id IS 'The sender''s id of the message, from its headers (svix-id, webhook-id); NULL where it sends none.';

COMMENT ON COLUMN authsync.inbox.verified_by IS 'How the message was proven genuine: the method, a space, and the name of the secret (its beginning in SHA-256).';

COMMENT ON COLUMN authsync.inbox.received_at IS 'When the request had been read in full.';

COMMENT ON COLUMN authsync.inbox.headers IS 'The request headers worth keeping; never a credential.';

COMMENT ON COLUMN authsync.inbox.body IS 'The raw bytes of the request body. To read it: convert_from(body, ''UTF8'').';

COMMENT ON COLUMN authsync.inbox.excluded IS 'The entries of option exclude whose fields were removed from the body before it was stored; NULL: none.';

CREATE VIEW authsync.event_failures AS
 SELECT e.project_id,
    p.name AS project,
    i.provider,
    e.event_id,
    e.type,
    e.user_id,
    COALESCE(e.record_type,
        CASE
            WHEN (e.user_id IS NOT NULL) THEN 'user'::text
            ELSE NULL::text
        END) AS record_type,
    COALESCE(e.record_id,
        CASE
            WHEN (e.record_type IS NULL) THEN e.user_id
            ELSE NULL::text
        END) AS record_id,
    e.reason,
    e.received_at,
    e.recorded_at AS failed_at,
    j.id AS job_id,
    j.state AS job_state,
    j.attempt,
    j.max_attempts,
        CASE
            WHEN (j.finalized_at IS NULL) THEN j.scheduled_at
            ELSE NULL::timestamp with time zone
        END AS next_try_at,
    (j.errors[cardinality(j.errors)] ->> 'error'::text) AS last_error,
    e.inbox_id,
    e.ordinal
   FROM (((authsync.event_outcomes e
     LEFT JOIN LATERAL ( SELECT d.provider
           FROM authsync.inbox d
          WHERE ((d.id = e.inbox_id) AND (d.received_at = e.received_at))
         LIMIT 1) i ON (true))
     LEFT JOIN authsync.projects p ON ((p.id = e.project_id)))
     LEFT JOIN LATERAL ( SELECT r.id,
            r.state,
            r.attempt,
            r.max_attempts,
            r.finalized_at,
            r.scheduled_at,
            r.errors
           FROM authsync.river_job r
          WHERE ((r.kind = 'retry_event'::text) AND (r.args @> jsonb_build_object('inbox_id', e.inbox_id, 'ordinal', e.ordinal)))
          ORDER BY r.id DESC
         LIMIT 1) j ON (true))
  WHERE (e.outcome = 'failed'::text);

COMMENT ON VIEW authsync.event_failures IS 'Failed events, each with the River job that tries it again.';

COMMENT ON COLUMN authsync.event_failures.reason IS 'What went wrong the last time it was recorded.';

COMMENT ON COLUMN authsync.event_failures.failed_at IS 'When it failed first.';

COMMENT ON COLUMN authsync.event_failures.job_state IS 'retryable waits for next_try_at; cancelled and discarded are tried no more.';

COMMENT ON COLUMN authsync.event_failures.next_try_at IS 'When the job runs again; NULL if it does not.';

CREATE TABLE authsync.event_outcomes_default (
    inbox_id bigint NOT NULL,
    ordinal integer NOT NULL,
    received_at timestamp with time zone NOT NULL,
    project_id uuid NOT NULL,
    event_id text,
    type text,
    user_id text,
    record_type text,
    record_id text,
    event_time timestamp with time zone,
    outcome text NOT NULL,
    reason text,
    applied_at timestamp with time zone,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT event_outcomes_outcome_check CHECK ((outcome = ANY (ARRAY['applied'::text, 'stale'::text, 'duplicate'::text, 'ignored'::text, 'failed'::text, 'pending'::text])))
);

COMMENT ON TABLE authsync.event_outcomes_default IS 'Outcomes of days without a partition; normally empty.';

CREATE VIEW authsync.events AS
 SELECT i.project_id,
    p.name AS project,
    i.provider,
    e.event_id,
    e.type,
    e.user_id,
    COALESCE(e.record_type,
        CASE
            WHEN (e.user_id IS NOT NULL) THEN 'user'::text
            ELSE NULL::text
        END) AS record_type,
    COALESCE(e.record_id,
        CASE
            WHEN (e.record_type IS NULL) THEN e.user_id
            ELSE NULL::text
        END) AS record_id,
    e.event_time,
    COALESCE(e.outcome, 'pending'::text) AS outcome,
    COALESCE(e.reason,
        CASE
            WHEN (e.outcome IS NULL) THEN ( SELECT (r.metadata #>> '{output,wait_reason}'::text[])
               FROM (authsync.job_requests q
                 JOIN authsync.river_job r ON ((r.id = q.job_id)))
              WHERE ((q.kind = 'apply_inbox'::text) AND (q.subject = (i.project_id)::text) AND ((r.state <> 'running'::authsync.river_job_state) OR (r.attempted_at > (statement_timestamp() - '00:00:10'::interval)))))
            ELSE NULL::text
        END) AS reason,
    i.received_at,
    e.applied_at,
    i.id AS inbox_id,
    COALESCE(e.ordinal, 0) AS ordinal,
    i.message_id
   FROM ((authsync.inbox i
     LEFT JOIN authsync.event_outcomes e ON (((e.inbox_id = i.id) AND (e.received_at = i.received_at) AND (e.project_id = i.project_id))))
     LEFT JOIN authsync.projects p ON ((p.id = i.project_id)));

COMMENT ON VIEW authsync.events IS 'One row an event. The latest: SELECT * FROM authsync.events ORDER BY inbox_id DESC LIMIT 50.';

COMMENT ON COLUMN authsync.events.project IS 'The project''s name; NULL if it was deleted.';

COMMENT ON COLUMN authsync.events.user_id IS 'The user that the event is about, or whose membership or session it is about.';

COMMENT ON COLUMN authsync.events.record_type IS 'What the event is about: user, organization, membership, invitation or session.';

COMMENT ON COLUMN authsync.events.record_id IS 'The provider''s id of that; of a membership organization_id/user_id.';

COMMENT ON COLUMN authsync.events.event_time IS 'The provider''s clock of the event.';

COMMENT ON COLUMN authsync.events.outcome IS 'pending, applied, stale (newer events had already set all its fields), duplicate, ignored (not mirrored) or failed.';

COMMENT ON COLUMN authsync.events.reason IS 'Why it failed, was ignored or is deferred, also with all of its project''s; notes on what could not be taken over as it came.';

COMMENT ON COLUMN authsync.events.received_at IS 'When the request had been read whole.';

COMMENT ON COLUMN authsync.events.applied_at IS 'When the outcome was final; NULL while pending or failed.';

COMMENT ON COLUMN authsync.events.inbox_id IS 'Id of the delivery in authsync.inbox; grows with time.';

COMMENT ON COLUMN authsync.events.ordinal IS 'Place of the event in its delivery, from 0.';

COMMENT ON COLUMN authsync.events.message_id IS 'The sender''s id of the message, where it sends one in its headers.';

CREATE TABLE authsync.external_ids (
    destination_id uuid NOT NULL,
    record_type text NOT NULL,
    record_id text NOT NULL,
    external_id text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE authsync.external_ids IS 'A destination''s own id of a record, such as the record id of a CRM contact.';

CREATE TABLE authsync.idempotency_keys (
    api_key_id uuid NOT NULL,
    key_hash bytea NOT NULL,
    request_hash bytea NOT NULL,
    claim uuid NOT NULL,
    busy_until timestamp with time zone NOT NULL,
    answer_sealed bytea,
    created_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE authsync.idempotency_keys IS 'API calls that came with an Idempotency-Key, kept for a day.';

COMMENT ON COLUMN authsync.idempotency_keys.key_hash IS 'SHA-256 of the key.';

COMMENT ON COLUMN authsync.idempotency_keys.request_hash IS 'SHA-256 of method, path, query and body: the same key with another request is a mistake.';

COMMENT ON COLUMN authsync.idempotency_keys.claim IS 'The attempt that is working on the call.';

COMMENT ON COLUMN authsync.idempotency_keys.busy_until IS 'How long that attempt may take. After this, without an answer, it is unknown whether the call took effect.';

COMMENT ON COLUMN authsync.idempotency_keys.answer_sealed IS 'The answer, encrypted with a key kept outside the database because it may hold a secret; NULL: none yet.';

CREATE VIEW authsync.inbox_bounds AS
 SELECT (c.oid)::regclass AS inbox_partition,
    (((b.bounds[1])::timestamp with time zone AT TIME ZONE 'UTC'::text))::date AS from_day,
    (((b.bounds[2])::timestamp with time zone AT TIME ZONE 'UTC'::text))::date AS to_day
   FROM ((pg_inherits h
     JOIN pg_class c ON ((c.oid = h.inhrelid)))
     CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)'::text) b(bounds))
  WHERE ((h.inhparent = ('authsync.inbox'::regclass)::oid) AND (b.bounds IS NOT NULL));

COMMENT ON VIEW authsync.inbox_bounds IS 'The days that each partition of the inbox is for: from from_day, before to_day (UTC).';

CREATE VIEW authsync.inbox_days AS
 SELECT to_date("substring"((c.relname)::text, '^inbox_(\d{8,})$'::text), 'YYYYMMDD'::text) AS day,
    (GREATEST(c.reltuples, (0)::real))::bigint AS deliveries_estimate,
    pg_size_pretty((pg_total_relation_size((c.oid)::regclass) + COALESCE(pg_total_relation_size((o.oid)::regclass), (0)::bigint))) AS size,
    (c.oid)::regclass AS inbox_partition,
    (o.oid)::regclass AS outcomes_partition
   FROM ((pg_inherits h
     JOIN pg_class c ON ((c.oid = h.inhrelid)))
     LEFT JOIN pg_class o ON (((o.relnamespace = c.relnamespace) AND (o.relname = replace((c.relname)::text, 'inbox_'::text, 'event_outcomes_'::text)))))
  WHERE (h.inhparent = ('authsync.inbox'::regclass)::oid);

COMMENT ON VIEW authsync.inbox_days IS 'The inbox by day: deliveries and size. To see why an old day is kept: overdue_messages and event_failures.';

COMMENT ON COLUMN authsync.inbox_days.day IS 'The day (UTC); NULL is the default partition, which is empty when all is well.';

COMMENT ON COLUMN authsync.inbox_days.deliveries_estimate IS 'As of the last ANALYZE of the partition.';

CREATE TABLE authsync.inbox_default (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    provider text NOT NULL,
    message_id text,
    verified_by text,
    received_at timestamp with time zone NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    excluded jsonb
);

COMMENT ON TABLE authsync.inbox_default IS 'Messages of days without a partition; normally empty.';

ALTER TABLE authsync.inbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.inbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE authsync.inbox_pending (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    inbox_ids bigint[] NOT NULL,
    messages integer GENERATED ALWAYS AS (cardinality(inbox_ids)) STORED NOT NULL,
    bytes bigint NOT NULL,
    received_from timestamp with time zone NOT NULL,
    received_to timestamp with time zone NOT NULL,
    last_id bigint GENERATED ALWAYS AS (inbox_ids[cardinality(inbox_ids)]) STORED,
    spread smallint GENERATED ALWAYS AS (
CASE
    WHEN ((inbox_ids[cardinality(inbox_ids)] - inbox_ids[1]) < 64) THEN 0
    WHEN ((inbox_ids[cardinality(inbox_ids)] - inbox_ids[1]) < 4096) THEN 1
    WHEN ((inbox_ids[cardinality(inbox_ids)] - inbox_ids[1]) < 262144) THEN 2
    ELSE 3
END) STORED
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_threshold='-1');

COMMENT ON TABLE authsync.inbox_pending IS 'Messages waiting to be applied: one row per commit and project. Read the view authsync.project_lag instead.';

COMMENT ON COLUMN authsync.inbox_pending.inbox_ids IS 'The messages (inbox.id), ascending.';

COMMENT ON COLUMN authsync.inbox_pending.messages IS 'Number of messages.';

COMMENT ON COLUMN authsync.inbox_pending.bytes IS 'Total size of their bodies.';

COMMENT ON COLUMN authsync.inbox_pending.received_from IS 'When the first of them was received; with received_to it limits which partitions are read.';

COMMENT ON COLUMN authsync.inbox_pending.received_to IS 'When the last of them was received.';

COMMENT ON COLUMN authsync.inbox_pending.last_id IS 'The newest of the messages.';

COMMENT ON COLUMN authsync.inbox_pending.spread IS 'How far the ids are apart: less than 64 (0), 4096 (1), 262144 (2), or more (3). Commits overlap, and a replay takes messages of any age; see pending_messages.';

ALTER TABLE authsync.inbox_pending ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.inbox_pending_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE authsync.inbox_rewrite_changes (
    id bigint NOT NULL,
    suffix text NOT NULL,
    inbox_id bigint NOT NULL
);

COMMENT ON TABLE authsync.inbox_rewrite_changes IS 'Messages that were changed, or whose outcomes were, while their day is rewritten: they are copied again.';

ALTER TABLE authsync.inbox_rewrite_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.inbox_rewrite_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE authsync.inbox_rewrites (
    suffix text NOT NULL,
    project_id uuid NOT NULL,
    copied_to bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE authsync.inbox_rewrites IS 'Days of the inbox that are being rewritten, with the projects whose rows the new partition gets.';

COMMENT ON COLUMN authsync.inbox_rewrites.suffix IS 'The end of the names of the partitions, such as 20260814; those that are being filled end in _kept.';

COMMENT ON COLUMN authsync.inbox_rewrites.copied_to IS 'Messages up to this id have been copied; the greatest bigint: all.';

CREATE TABLE authsync.inbox_usage (
    project_id uuid NOT NULL,
    day date NOT NULL,
    message_count bigint NOT NULL,
    byte_count bigint NOT NULL
);

COMMENT ON TABLE authsync.inbox_usage IS 'How much each project stored in the inbox per day (UTC) still retained; updated every few seconds, so approximate.';

COMMENT ON COLUMN authsync.inbox_usage.byte_count IS 'Bodies and headers, plus 500 bytes per message for its other columns and outcome.';

CREATE TABLE authsync.integration_activity (
    project_id uuid NOT NULL,
    provider text NOT NULL,
    first_message_at timestamp with time zone NOT NULL,
    last_message_at timestamp with time zone NOT NULL,
    last_inbox_id bigint NOT NULL,
    usual_gaps real[] NOT NULL,
    learned_at timestamp with time zone NOT NULL,
    silent_at timestamp with time zone,
    CONSTRAINT integration_activity_usual_gaps_check CHECK ((cardinality(usual_gaps) = 168))
);

COMMENT ON TABLE authsync.integration_activity IS 'When each integration last sent a message, and how long its pauses usually are. An integration that never sent one has no row.';

COMMENT ON COLUMN authsync.integration_activity.last_message_at IS 'When its newest message was received, to within five minutes.';

COMMENT ON COLUMN authsync.integration_activity.last_inbox_id IS 'The message (inbox.id) that was received then.';

COMMENT ON COLUMN authsync.integration_activity.usual_gaps IS 'The longest usual pause that covers an hour of the week, in seconds; the first is Monday 00:00 UTC; 0: none was long enough to matter.';

COMMENT ON COLUMN authsync.integration_activity.learned_at IS 'Until when pauses have faded: they lose a twentieth every week.';

COMMENT ON COLUMN authsync.integration_activity.silent_at IS 'Without another message it is silent from then on; NULL: too little is known yet.';

CREATE TABLE authsync.integrations (
    project_id uuid NOT NULL,
    provider text NOT NULL,
    credentials_sealed bytea NOT NULL,
    options jsonb DEFAULT '{}'::jsonb NOT NULL,
    account_mark text,
    reconcile_default text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT integrations_provider_check CHECK ((provider ~ '^(custom:)?[a-z][a-z0-9_]{0,39}$'::text))
);

COMMENT ON TABLE authsync.integrations IS 'The providers configured for a project.';

COMMENT ON COLUMN authsync.integrations.credentials_sealed IS 'Signing secrets and API credentials, encrypted with a key kept outside the database.';

COMMENT ON COLUMN authsync.integrations.options IS 'Settings that are not secret, such as absent_fields.';

COMMENT ON COLUMN authsync.integrations.account_mark IS 'The account whose users the mirror has: the tenant, instance, server or database. Credentials of another one are refused. NULL: not known yet, or the provider does not say.';

COMMENT ON COLUMN authsync.integrations.reconcile_default IS 'How often a reconcile starts unless the option reconcile.every sets it; NULL: the credentials do not allow reading users. A column, because the schedule is computed in SQL and the credentials are sealed.';

CREATE TABLE authsync.message_counts (
    project_id uuid NOT NULL,
    slot smallint NOT NULL,
    began_at timestamp with time zone NOT NULL,
    message_count bigint NOT NULL,
    CONSTRAINT message_counts_slot_check CHECK (((slot >= 0) AND (slot <= 95)))
)
WITH (fillfactor='50');

COMMENT ON TABLE authsync.message_counts IS 'How many messages each project received per quarter of an hour, for a day; updated every few seconds, so approximate.';

COMMENT ON COLUMN authsync.message_counts.slot IS 'Which quarter of its day (UTC), from 0.';

COMMENT ON COLUMN authsync.message_counts.began_at IS 'When that quarter began: a row that is older than a day is of an earlier one.';

CREATE TABLE authsync.mirror_progress (
    project_id uuid NOT NULL,
    epoch uuid NOT NULL,
    applied_to bigint NOT NULL,
    change_id bigint DEFAULT 0 NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE authsync.mirror_progress IS 'The least progress of each project''s mirror: one that is behind this, or of another epoch, has lost events.';

COMMENT ON COLUMN authsync.mirror_progress.epoch IS 'capydb_auth.mirror_progress.epoch in the project''s database.';

COMMENT ON COLUMN authsync.mirror_progress.applied_to IS 'Lower bound of capydb_auth.mirror_progress.applied_to.';

COMMENT ON COLUMN authsync.mirror_progress.change_id IS 'Lower bound of the greatest capydb_auth.changes.id the mirror has handed out.';

CREATE TABLE authsync.mirror_prunings (
    project_id uuid NOT NULL,
    attempted_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    last_error text,
    held_reason text,
    ledger_rows bigint DEFAULT 0 NOT NULL,
    change_rows bigint DEFAULT 0 NOT NULL,
    held_since timestamp with time zone
);

COMMENT ON TABLE authsync.mirror_prunings IS 'How the last pruning of each project''s ledger and changes went.';

COMMENT ON COLUMN authsync.mirror_prunings.finished_at IS 'When everything past its retention was last gone, apart from what is held; NULL: never yet.';

COMMENT ON COLUMN authsync.mirror_prunings.last_error IS 'Why the last attempt ended early; NULL: it did not.';

COMMENT ON COLUMN authsync.mirror_prunings.held_reason IS 'Why rows past their retention stay, such as a destination that has not read them; NULL: none do.';

COMMENT ON COLUMN authsync.mirror_prunings.ledger_rows IS 'Rows of the ledger deleted so far.';

COMMENT ON COLUMN authsync.mirror_prunings.change_rows IS 'Changes deleted so far.';

COMMENT ON COLUMN authsync.mirror_prunings.held_since IS 'When an attempt first left such rows, of those without one between that left none; NULL: none stay, or it is not known.';

CREATE TABLE authsync.mirror_repairs (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    cause text NOT NULL,
    epoch uuid NOT NULL,
    known_applied_to bigint NOT NULL,
    found_applied_to bigint NOT NULL,
    lost_since timestamp with time zone NOT NULL,
    lost_change_id bigint DEFAULT 0 NOT NULL,
    not_in_inbox_until timestamp with time zone,
    last_inbox_id bigint NOT NULL,
    replay_cursor bigint DEFAULT 0 NOT NULL,
    messages bigint DEFAULT 0 NOT NULL,
    last_pending_id bigint,
    replayed_at timestamp with time zone,
    reconciled_providers text[] DEFAULT '{}'::text[] NOT NULL,
    unreconciled_providers jsonb DEFAULT '{}'::jsonb NOT NULL,
    found_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    searched_table text,
    searched_to bigint DEFAULT 0 NOT NULL,
    returned_users bigint DEFAULT 0 NOT NULL,
    erased_at timestamp with time zone,
    returned_invitations bigint DEFAULT 0 NOT NULL,
    CONSTRAINT mirror_repairs_cause_check CHECK ((cause = ANY (ARRAY['rewound'::text, 'recreated'::text])))
);

COMMENT ON TABLE authsync.mirror_repairs IS 'Mirrors found to have lost events, and the progress of their repair.';

COMMENT ON COLUMN authsync.mirror_repairs.cause IS 'rewound: the mirror is an older state of itself, as after a restore from a backup; recreated: it was created again, empty.';

COMMENT ON COLUMN authsync.mirror_repairs.epoch IS 'The epoch of the mirror when the loss was found.';

COMMENT ON COLUMN authsync.mirror_repairs.known_applied_to IS 'How far the mirror had been.';

COMMENT ON COLUMN authsync.mirror_repairs.found_applied_to IS 'How far it was when the loss was found.';

COMMENT ON COLUMN authsync.mirror_repairs.lost_since IS 'Events applied since then are applied again; -infinity: all events.';

COMMENT ON COLUMN authsync.mirror_repairs.lost_change_id IS 'The greatest change id handed out before the loss; changes made since have greater ids.';

COMMENT ON COLUMN authsync.mirror_repairs.not_in_inbox_until IS 'Messages received before this are no longer in the inbox, so only a reconcile can restore their changes; NULL: the inbox has everything.';

COMMENT ON COLUMN authsync.mirror_repairs.last_inbox_id IS 'The newest message when the loss was found: later ones are not lost.';

COMMENT ON COLUMN authsync.mirror_repairs.replay_cursor IS 'Messages up to this one (inbox.id) have been scanned.';

COMMENT ON COLUMN authsync.mirror_repairs.messages IS 'Number of messages queued to be applied again.';

COMMENT ON COLUMN authsync.mirror_repairs.last_pending_id IS 'The last row of inbox_pending the repair waits for; NULL: not all messages have been scanned.';

COMMENT ON COLUMN authsync.mirror_repairs.replayed_at IS 'When all messages had been applied again.';

COMMENT ON COLUMN authsync.mirror_repairs.reconciled_providers IS 'Providers for which a reconcile was started.';

COMMENT ON COLUMN authsync.mirror_repairs.unreconciled_providers IS 'Provider -> why no reconcile could be started.';

COMMENT ON COLUMN authsync.mirror_repairs.finished_at IS 'When the repair ended; NULL: it is still at work.';

COMMENT ON COLUMN authsync.mirror_repairs.searched_table IS 'The table of the mirror that is searched for users who had been erased; NULL: the search has not begun.';

COMMENT ON COLUMN authsync.mirror_repairs.searched_to IS 'Its blocks before this one have been searched.';

COMMENT ON COLUMN authsync.mirror_repairs.returned_users IS 'Number of users whom the mirror had again although they had been erased, and whose erasure was begun again.';

COMMENT ON COLUMN authsync.mirror_repairs.erased_at IS 'When the mirror had none of them any more; nothing is applied again before.';

COMMENT ON COLUMN authsync.mirror_repairs.returned_invitations IS 'Number of invitations that the mirror had again although they had been erased, and that were removed.';

ALTER TABLE authsync.mirror_repairs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.mirror_repairs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE authsync.problem_calls (
    problem_id bigint NOT NULL,
    event text NOT NULL,
    target text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone NOT NULL,
    last_error text,
    delivered_at timestamp with time zone,
    failed_at timestamp with time zone,
    CONSTRAINT problem_calls_event_check CHECK ((event = ANY (ARRAY['opened'::text, 'closed'::text])))
);

COMMENT ON TABLE authsync.problem_calls IS 'Calls to the operator''s webhooks: one per opening and closing of a problem and per URL. Kept apart from deliveries, because they must leave without a worker.';

COMMENT ON COLUMN authsync.problem_calls.target IS 'The beginning of the SHA-256 of the URL, which may hold a secret.';

COMMENT ON COLUMN authsync.problem_calls.attempts IS 'How often it was sent.';

COMMENT ON COLUMN authsync.problem_calls.next_attempt_at IS 'No process sends it before this.';

COMMENT ON COLUMN authsync.problem_calls.last_error IS 'Why the last attempt failed; NULL: it did not.';

COMMENT ON COLUMN authsync.problem_calls.delivered_at IS 'When it was accepted.';

COMMENT ON COLUMN authsync.problem_calls.failed_at IS 'When it was given up.';

CREATE TABLE authsync.problems (
    id bigint NOT NULL,
    kind text NOT NULL,
    project_id uuid,
    subject text DEFAULT ''::text NOT NULL,
    severity text NOT NULL,
    detail text NOT NULL,
    next_step text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT problems_closed_at_check CHECK ((closed_at >= opened_at)),
    CONSTRAINT problems_severity_check CHECK ((severity = ANY (ARRAY['failed'::text, 'warning'::text])))
);

COMMENT ON TABLE authsync.problems IS 'Problems that authsync found. Each opens once and closes by itself when its cause is gone; one that comes back is a new row.';

COMMENT ON COLUMN authsync.problems.kind IS 'What is wrong, for programs, such as silence or project_database_down.';

COMMENT ON COLUMN authsync.problems.project_id IS 'The project that has it; NULL: the whole server.';

COMMENT ON COLUMN authsync.problems.subject IS 'What has it within the project or server, such as a provider or the id of a destination; empty: the project or server itself.';

COMMENT ON COLUMN authsync.problems.severity IS 'failed: something does not work; warning: it soon may not.';

COMMENT ON COLUMN authsync.problems.detail IS 'What is wrong, for people, as last seen.';

COMMENT ON COLUMN authsync.problems.next_step IS 'What to do, preferably a command.';

COMMENT ON COLUMN authsync.problems.opened_at IS 'When it was found.';

COMMENT ON COLUMN authsync.problems.last_seen_at IS 'When it was last found to be still there.';

COMMENT ON COLUMN authsync.problems.closed_at IS 'When it was found to be gone; NULL: it is open.';

CREATE VIEW authsync.open_problems AS
 SELECT p.id,
    p.kind,
    p.project_id,
    j.name AS project,
    p.subject,
    p.severity,
    p.detail,
    p.next_step,
    p.opened_at,
    p.last_seen_at,
    c.notified_at,
    c.waiting_calls,
    c.failed_calls
   FROM ((authsync.problems p
     LEFT JOIN authsync.projects j ON ((j.id = p.project_id)))
     CROSS JOIN LATERAL ( SELECT min(k.delivered_at) AS notified_at,
            count(*) FILTER (WHERE ((k.delivered_at IS NULL) AND (k.failed_at IS NULL))) AS waiting_calls,
            count(*) FILTER (WHERE (k.failed_at IS NOT NULL)) AS failed_calls
           FROM authsync.problem_calls k
          WHERE ((k.problem_id = p.id) AND (k.event = 'opened'::text))) c)
  WHERE (p.closed_at IS NULL)
  ORDER BY p.opened_at, p.id;

COMMENT ON VIEW authsync.open_problems IS 'The problems that are open, the oldest first.';

COMMENT ON COLUMN authsync.open_problems.notified_at IS 'When the first of the operator''s webhooks accepted the call; NULL: none has, or there is none.';

COMMENT ON COLUMN authsync.open_problems.waiting_calls IS 'Calls to the operator''s webhooks that are still to be accepted.';

COMMENT ON COLUMN authsync.open_problems.failed_calls IS 'Calls that were given up.';

CREATE VIEW authsync.overdue_messages AS
 SELECT w.inbox_id,
    w.project_id,
    p.name AS project,
    i.provider,
    i.received_at,
    i.message_id
   FROM ((( SELECT m.inbox_id,
            n.project_id,
            n.received_from,
            n.received_to
           FROM (authsync.inbox_pending n
             CROSS JOIN LATERAL unnest(n.inbox_ids) m(inbox_id))
        UNION ALL
         SELECT o.inbox_id,
            o.project_id,
            min(o.received_at) AS min,
            max(o.received_at) AS max
           FROM authsync.event_outcomes o
          WHERE (o.outcome = 'pending'::text)
          GROUP BY o.inbox_id, o.project_id) w
     LEFT JOIN authsync.projects p ON ((p.id = w.project_id)))
     CROSS JOIN LATERAL ( SELECT d.provider,
            d.received_at,
            d.message_id
           FROM authsync.inbox d
          WHERE ((d.id = w.inbox_id) AND ((d.received_at >= w.received_from) AND (d.received_at <= w.received_to)))
         LIMIT 1) i)
  WHERE (w.received_to < (clock_timestamp() - '00:01:00'::interval));

COMMENT ON VIEW authsync.overdue_messages IS 'Messages that have had no outcome for more than a minute; empty when all is well.';

CREATE VIEW authsync.pending_refreshes AS
SELECT
    NULL::uuid AS project_id,
    NULL::text AS project,
    NULL::text AS provider,
    NULL::bigint AS waiting,
    NULL::timestamp with time zone AS oldest,
    NULL::bigint AS given_up,
    NULL::text[] COLLATE pg_catalog."C" AS users_with_problems,
    NULL::text AS last_error,
    NULL::text AS wait_reason,
    NULL::bigint AS job_id,
    NULL::text AS job_state,
    NULL::timestamp with time zone AS next_try_at;

COMMENT ON VIEW authsync.pending_refreshes IS 'Users to be read from their provider because a log entry was about them; empty when all is well.';

COMMENT ON COLUMN authsync.pending_refreshes.oldest IS 'Since when the first of them waits.';

COMMENT ON COLUMN authsync.pending_refreshes.given_up IS 'Users that could not be read or written again and again; authsync refresh PROJECT USER tries once more.';

COMMENT ON COLUMN authsync.pending_refreshes.users_with_problems IS 'The first ten that could not be read or written.';

COMMENT ON COLUMN authsync.pending_refreshes.last_error IS 'What is wrong with one of them.';

COMMENT ON COLUMN authsync.pending_refreshes.wait_reason IS 'Why all of them wait.';

CREATE TABLE authsync.probes (
    project_id uuid NOT NULL,
    subject text NOT NULL,
    next_probe_at timestamp with time zone NOT NULL,
    probed_at timestamp with time zone,
    failing_since timestamp with time zone,
    consecutive_failures integer DEFAULT 0 NOT NULL,
    finding text,
    detail text,
    certificate_expires_at timestamp with time zone,
    gap_since timestamp with time zone,
    gap_until timestamp with time zone,
    redelivery_at timestamp with time zone,
    run_id uuid
);

COMMENT ON TABLE authsync.probes IS 'What probes of project databases and providers found. The evaluation reads these rows and never probes itself.';

COMMENT ON COLUMN authsync.probes.subject IS 'database, or the name of a provider.';

COMMENT ON COLUMN authsync.probes.next_probe_at IS 'No probe starts before this.';

COMMENT ON COLUMN authsync.probes.probed_at IS 'When the last probe ended.';

COMMENT ON COLUMN authsync.probes.failing_since IS 'When the first of the failed probes in a row ended; NULL: the last one succeeded.';

COMMENT ON COLUMN authsync.probes.finding IS 'The kind of problem that the last probe found; NULL: none.';

COMMENT ON COLUMN authsync.probes.detail IS 'What the last probe found, for people; NULL: nothing.';

COMMENT ON COLUMN authsync.probes.certificate_expires_at IS 'When the TLS certificate of the project database expires; NULL: the connection has none.';

COMMENT ON COLUMN authsync.probes.gap_since IS 'Events may be missing since then; NULL: none, or they have been restored.';

COMMENT ON COLUMN authsync.probes.gap_until IS 'The provider sends again since then; NULL: not yet.';

COMMENT ON COLUMN authsync.probes.redelivery_at IS 'When the provider was last asked to send failed deliveries again.';

COMMENT ON COLUMN authsync.probes.run_id IS 'The reconcile that closes the gap (sync_runs.id); NULL: none was started.';

ALTER TABLE authsync.problems ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.problems_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW authsync.project_lag AS
 SELECT p.id AS project_id,
    p.name AS project,
    COALESCE(w.messages, (0)::bigint) AS pending_messages,
    COALESCE(f.events, (0)::bigint) AS failing_events,
    (clock_timestamp() - w.oldest) AS oldest_pending_age,
    latest.received_at AS last_received_at,
    done.applied_at AS last_applied_at,
    job.wait_reason
   FROM (((((authsync.projects p
     LEFT JOIN ( SELECT n.project_id,
            sum(n.messages) AS messages,
            min(n.received_from) AS oldest,
            min(n.inbox_ids[1]) AS oldest_id
           FROM authsync.inbox_pending n
          GROUP BY n.project_id) w ON ((w.project_id = p.id)))
     LEFT JOIN ( SELECT ((r.args ->> 'project_id'::text))::uuid AS project_id,
            count(*) AS events
           FROM authsync.river_job r
          WHERE ((r.kind = 'retry_event'::text) AND (r.finalized_at IS NULL))
          GROUP BY ((r.args ->> 'project_id'::text))::uuid) f ON ((f.project_id = p.id)))
     LEFT JOIN LATERAL ( SELECT (r.metadata #>> '{output,wait_reason}'::text[]) AS wait_reason
           FROM (authsync.job_requests q
             JOIN authsync.river_job r ON ((r.id = q.job_id)))
          WHERE ((q.kind = 'apply_inbox'::text) AND (q.subject = (p.id)::text) AND ((r.state <> 'running'::authsync.river_job_state) OR (r.attempted_at > (statement_timestamp() - '00:00:10'::interval))))) job ON (true))
     LEFT JOIN LATERAL ( SELECT i.received_at
           FROM authsync.inbox i
          WHERE ((ROW(i.project_id, i.id) >= ROW(p.id, 0)) AND (ROW(i.project_id, i.id) <= ROW(p.id, '9223372036854775807'::bigint)))
          ORDER BY i.project_id DESC, i.id DESC
         LIMIT 1) latest ON (true))
     LEFT JOIN LATERAL ( SELECT max(o.applied_at) AS applied_at
           FROM (( SELECT i.id,
                    i.received_at
                   FROM authsync.inbox i
                  WHERE ((ROW(i.project_id, i.id) >= ROW(p.id, 0)) AND (ROW(i.project_id, i.id) < ROW(p.id, COALESCE(w.oldest_id, '9223372036854775807'::bigint))))
                  ORDER BY i.project_id DESC, i.id DESC
                 LIMIT 5) n
             CROSS JOIN LATERAL ( SELECT e.applied_at
                   FROM authsync.event_outcomes e
                  WHERE ((e.inbox_id = n.id) AND (e.received_at = n.received_at))
                  ORDER BY e.ordinal
                 LIMIT 1) o)) done ON (true));

COMMENT ON VIEW authsync.project_lag IS 'For each project how far applying is behind receiving.';

COMMENT ON COLUMN authsync.project_lag.pending_messages IS 'Messages that wait to be applied.';

COMMENT ON COLUMN authsync.project_lag.failing_events IS 'Events that are tried again alone: they failed (see authsync.event_failures), or a lock in the project''s database is in their way.';

COMMENT ON COLUMN authsync.project_lag.oldest_pending_age IS 'Age of the oldest pending message; NULL: nothing is pending.';

COMMENT ON COLUMN authsync.project_lag.last_applied_at IS 'When an event of the five messages before the oldest pending one was final last.';

COMMENT ON COLUMN authsync.project_lag.wait_reason IS 'What the project database says, while its job waits for it.';

CREATE VIEW authsync.project_usage AS
 SELECT p.id AS project_id,
    p.name AS project,
    (COALESCE(sum(u.message_count), (0)::numeric))::bigint AS messages,
    (COALESCE(sum(u.byte_count), (0)::numeric))::bigint AS bytes,
    pg_size_pretty((COALESCE(sum(u.byte_count), (0)::numeric))::bigint) AS size,
    min(u.day) AS oldest_day
   FROM (authsync.projects p
     LEFT JOIN authsync.inbox_usage u ON ((u.project_id = p.id)))
  GROUP BY p.id, p.name;

COMMENT ON VIEW authsync.project_usage IS 'How much each project has stored in the inbox, about; see AUTHSYNC_PROJECT_QUOTA_BYTES.';

CREATE TABLE authsync.provisioned_webhooks (
    project_id uuid NOT NULL,
    provider text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    request_seq bigint DEFAULT 1 NOT NULL,
    problem text,
    missing_permissions text[] DEFAULT '{}'::text[] NOT NULL,
    allowed_at timestamp with time zone,
    webhook_id text,
    is_made boolean DEFAULT false NOT NULL,
    url text,
    event_types text[] DEFAULT '{}'::text[] NOT NULL,
    ensured_at timestamp with time zone,
    test_event_id text,
    test_sent_at timestamp with time zone,
    arrived_at timestamp with time zone,
    differences text[] DEFAULT '{}'::text[] NOT NULL,
    compared_at timestamp with time zone,
    lease uuid,
    leased_until timestamp with time zone,
    requested_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT provisioned_webhooks_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'testing'::text, 'ready'::text, 'blocked'::text])))
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

CREATE TABLE authsync.pulls (
    project_id uuid NOT NULL,
    provider text NOT NULL,
    cursor text,
    origin text,
    since timestamp with time zone NOT NULL,
    cursor_moved_at timestamp with time zone,
    messages bigint DEFAULT 0 NOT NULL,
    last_message_at timestamp with time zone,
    claimed_by uuid,
    claimed_until timestamp with time zone,
    connected_since timestamp with time zone,
    last_ended_at timestamp with time zone,
    retry_at timestamp with time zone,
    wait_reason text,
    consecutive_failures bigint DEFAULT 0 NOT NULL,
    reconcile_due boolean DEFAULT false NOT NULL,
    lost_at timestamp with time zone,
    lost_reason text,
    CONSTRAINT pulls_claimed_until_check CHECK (((claimed_by IS NULL) = (claimed_until IS NULL))),
    CONSTRAINT pulls_cursor_check CHECK (((cursor IS NULL) OR (origin IS NOT NULL)))
)
WITH (fillfactor='50');

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

CREATE VIEW authsync.pull_health AS
 SELECT p.project_id,
    j.name AS project,
    p.provider,
        CASE
            WHEN (p.wait_reason IS NOT NULL) THEN 'failing'::text
            WHEN ((p.connected_since IS NOT NULL) AND ((p.claimed_until > clock_timestamp()) OR (p.last_ended_at > (clock_timestamp() - '00:00:30'::interval)))) THEN 'connected'::text
            ELSE 'waiting'::text
        END AS state,
    p.connected_since,
    p.cursor_moved_at,
    p.messages,
    p.last_message_at,
    p.wait_reason,
    p.consecutive_failures,
    p.retry_at,
    p.lost_at,
    p.lost_reason,
    p.reconcile_due
   FROM ((authsync.pulls p
     JOIN authsync.projects j ON ((j.id = p.project_id)))
     JOIN authsync.integrations i ON (((i.project_id = p.project_id) AND (i.provider = p.provider))))
  WHERE (i.options @> '{"pull": true}'::jsonb)
  ORDER BY j.name, p.provider;

COMMENT ON VIEW authsync.pull_health IS 'Integrations whose events are pulled, and what is wrong with them.';

COMMENT ON COLUMN authsync.pull_health.state IS 'connected: events come as they happen; waiting: for its turn, or for a process with the role worker; failing: see wait_reason.';

COMMENT ON COLUMN authsync.pull_health.cursor_moved_at IS 'When the provider last said how far it is, with or without an event.';

COMMENT ON COLUMN authsync.pull_health.lost_at IS 'When events were lost last; a reconcile finds what they said.';

COMMENT ON COLUMN authsync.pull_health.reconcile_due IS 'That reconcile has not been started yet.';

CREATE TABLE authsync.rate_limits (
    scope text NOT NULL,
    bucket text NOT NULL,
    tat timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    blocked_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    reason text,
    day date,
    day_requests bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE authsync.rate_limits IS 'The state of each rate limit, shared by all processes and all destinations with the same account.';

COMMENT ON COLUMN authsync.rate_limits.scope IS 'A digest of what the destination counts by, such as an access token.';

COMMENT ON COLUMN authsync.rate_limits.bucket IS 'Which of the account''s limits.';

COMMENT ON COLUMN authsync.rate_limits.tat IS 'Theoretical arrival time of the next request (GCRA): requests may precede it by the burst.';

COMMENT ON COLUMN authsync.rate_limits.blocked_until IS 'No request before this, at the destination''s request.';

COMMENT ON COLUMN authsync.rate_limits.reason IS 'Why requests are blocked.';

COMMENT ON COLUMN authsync.rate_limits.day IS 'The day, in the account''s time zone, that day_requests counts.';

CREATE TABLE authsync.sync_runs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    project_id uuid NOT NULL,
    provider text NOT NULL,
    kind text NOT NULL,
    options jsonb DEFAULT '{}'::jsonb NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    phase text DEFAULT 'walk'::text NOT NULL,
    cursor text DEFAULT ''::text NOT NULL,
    total bigint,
    pages bigint DEFAULT 0 NOT NULL,
    read bigint DEFAULT 0 NOT NULL,
    applied bigint DEFAULT 0 NOT NULL,
    unchanged bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    worked interval DEFAULT '00:00:00'::interval NOT NULL,
    consecutive_failures integer DEFAULT 0 NOT NULL,
    wait_reason text,
    error text,
    report jsonb DEFAULT '{"bad": []}'::jsonb NOT NULL,
    drift jsonb,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    progressed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sync_runs_finished_at_check CHECK (((finished_at IS NULL) = (state = ANY (ARRAY['running'::text, 'waiting'::text])))),
    CONSTRAINT sync_runs_kind_check CHECK ((kind = ANY (ARRAY['backfill'::text, 'reconcile'::text]))),
    CONSTRAINT sync_runs_phase_check CHECK ((phase = ANY (ARRAY['walk'::text, 'records'::text, 'orphaned'::text, 'confirm'::text]))),
    CONSTRAINT sync_runs_provider_check CHECK ((provider ~ '^[a-z][a-z0-9_]{0,39}$'::text)),
    CONSTRAINT sync_runs_state_check CHECK ((state = ANY (ARRAY['running'::text, 'waiting'::text, 'done'::text, 'failed'::text, 'cancelled'::text])))
);

COMMENT ON TABLE authsync.sync_runs IS 'Runs that read all users of a provider. Read the view authsync.sync_run_progress instead.';

COMMENT ON COLUMN authsync.sync_runs.kind IS 'backfill: fills the mirror; reconcile: also compares it with the provider.';

COMMENT ON COLUMN authsync.sync_runs.options IS 'Options given when the run was started.';

COMMENT ON COLUMN authsync.sync_runs.state IS 'running; waiting (for its turn, or for wait_reason); done; failed; cancelled.';

COMMENT ON COLUMN authsync.sync_runs.phase IS 'walk: reads all users; records: reads organizations, memberships and invitations; then, in a reconcile, orphaned: looks for records the walk did not meet; confirm: reads single records the walk could not decide on.';

COMMENT ON COLUMN authsync.sync_runs.cursor IS 'Where the next page begins; everything before it is in the mirror.';

COMMENT ON COLUMN authsync.sync_runs.total IS 'Number of users according to the provider; NULL where it does not say.';

COMMENT ON COLUMN authsync.sync_runs.pages IS 'Pages applied, each counted once.';

COMMENT ON COLUMN authsync.sync_runs.read IS 'Records read so far: users and, in the phase records, all others.';

COMMENT ON COLUMN authsync.sync_runs.applied IS 'Records read that were new to the mirror or differed from it.';

COMMENT ON COLUMN authsync.sync_runs.unchanged IS 'Records read that changed nothing.';

COMMENT ON COLUMN authsync.sync_runs.failed IS 'Entries that could not be applied; the first hundred are in report, with the reason.';

COMMENT ON COLUMN authsync.sync_runs.worked IS 'Time spent working, without waiting; the rate is computed from it.';

COMMENT ON COLUMN authsync.sync_runs.consecutive_failures IS 'Failures since the last page; too many end the run.';

COMMENT ON COLUMN authsync.sync_runs.wait_reason IS 'Why the run is waiting; NULL: it is not.';

COMMENT ON COLUMN authsync.sync_runs.error IS 'Why the run failed, for people.';

COMMENT ON COLUMN authsync.sync_runs.report IS 'Key bad: the first hundred entries that failed, with place and reason; notes: sentences for people; records: records read, by type.';

COMMENT ON COLUMN authsync.sync_runs.drift IS 'The result of a reconcile: how many users were missing, differed (by column) or were orphaned, and what was done about them.';

COMMENT ON COLUMN authsync.sync_runs.progressed_at IS 'When its last page was committed, other than one that only says to wait; before the first, when it was started.';

CREATE VIEW authsync.reconciles AS
 SELECT b.id AS run_id,
    p.id AS project_id,
    p.name AS project,
    b.provider,
    b.state,
    b.phase,
    COALESCE(((b.options ->> 'dry_run'::text))::boolean, false) AS dry_run,
    ((d.drift ->> 'missing'::text))::bigint AS missing,
    ((d.drift ->> 'differing'::text))::bigint AS differing,
    ((d.drift ->> 'deleted_here'::text))::bigint AS deleted_here,
    ((d.drift ->> 'orphaned'::text))::bigint AS orphaned,
    ((d.drift ->> 'placeholders'::text))::bigint AS placeholders,
    ((d.drift ->> 'repaired'::text))::bigint AS repaired,
    ((d.drift ->> 'failed'::text))::bigint AS failed,
    ((d.drift ->> 'left'::text))::bigint AS left_as_is,
    (d.drift ->> 'deletions_blocked_reason'::text) AS deletions_blocked_reason,
    (d.drift -> 'columns'::text) AS columns,
    b.error,
    b.started_at,
    b.finished_at,
    ((d.drift ->> 'unreported'::text))::bigint AS unreported,
    (d.drift -> 'tolerated'::text) AS tolerated,
    (d.drift -> 'records'::text) AS records,
    r.found AS records_found,
    r.left_as_is AS records_left_as_is
   FROM (((authsync.sync_runs b
     JOIN authsync.projects p ON ((p.id = b.project_id)))
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN (b.phase = 'confirm'::text) THEN b.drift
                    ELSE NULL::jsonb
                END AS drift) d)
     CROSS JOIN LATERAL ( SELECT (sum(((((((t.drift ->> 'missing'::text))::bigint + ((t.drift ->> 'differing'::text))::bigint) + ((t.drift ->> 'deleted_here'::text))::bigint) + ((t.drift ->> 'orphaned'::text))::bigint) + ((t.drift ->> 'placeholders'::text))::bigint)))::bigint AS found,
            (sum(((t.drift ->> 'left'::text))::bigint))::bigint AS left_as_is
           FROM jsonb_each((d.drift -> 'records'::text)) t(record_type, drift)) r)
  WHERE (b.kind = 'reconcile'::text)
  ORDER BY b.started_at DESC;

COMMENT ON VIEW authsync.reconciles IS 'What each reconcile has found and done, newest first.';

COMMENT ON COLUMN authsync.reconciles.missing IS 'Users whom the mirror did not have.';

COMMENT ON COLUMN authsync.reconciles.deleted_here IS 'Users deleted in the mirror whom the provider has.';

COMMENT ON COLUMN authsync.reconciles.orphaned IS 'Users of the mirror whom the provider does not have.';

COMMENT ON COLUMN authsync.reconciles.placeholders IS 'Rows of ensure_user whose id the provider does not know.';

COMMENT ON COLUMN authsync.reconciles.left_as_is IS 'Users who differ and were left so: of a dry run all, else those that deletions_blocked_reason is about.';

COMMENT ON COLUMN authsync.reconciles.deletions_blocked_reason IS 'Why orphaned users were not deleted.';

COMMENT ON COLUMN authsync.reconciles.columns IS 'How many users differed in which column.';

COMMENT ON COLUMN authsync.reconciles.unreported IS 'Users who differed in nothing but what the provider sends no event for; they were brought up to date.';

COMMENT ON COLUMN authsync.reconciles.tolerated IS 'What else differed and does not count, such as raw.scim, and in how many users.';

COMMENT ON COLUMN authsync.reconciles.records IS 'The same numbers for other records, by type: organization, membership, invitation. NULL: none were read.';

COMMENT ON COLUMN authsync.reconciles.records_found IS 'How many records other than users differed.';

COMMENT ON COLUMN authsync.reconciles.records_left_as_is IS 'How many of these were left so.';

CREATE TABLE authsync.refresh_requests (
    project_id uuid NOT NULL,
    provider text NOT NULL,
    user_id text NOT NULL COLLATE pg_catalog."C",
    request_count bigint DEFAULT 1 NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_error text,
    abandoned_at timestamp with time zone,
    CONSTRAINT refresh_requests_provider_check CHECK ((provider ~ '^[a-z][a-z0-9_]{0,39}$'::text))
);

COMMENT ON TABLE authsync.refresh_requests IS 'Users to be read from their provider; a row is deleted once its user was read. Read the view authsync.pending_refreshes instead.';

COMMENT ON COLUMN authsync.refresh_requests.request_count IS 'How often the refresh was requested; one read answers all requests made before it began.';

COMMENT ON COLUMN authsync.refresh_requests.requested_at IS 'When it was first requested.';

COMMENT ON COLUMN authsync.refresh_requests.attempts IS 'How often this user could not be read or written while others could.';

COMMENT ON COLUMN authsync.refresh_requests.next_attempt_at IS 'No attempt before this.';

COMMENT ON COLUMN authsync.refresh_requests.last_error IS 'Why the last attempt failed.';

COMMENT ON COLUMN authsync.refresh_requests.abandoned_at IS 'When authsync gave up; NULL: it has not. Another entry about the user, or authsync refresh, starts over.';

CREATE TABLE authsync.rejected_requests (
    id bigint NOT NULL,
    project_id uuid NOT NULL,
    provider text NOT NULL,
    received_at timestamp with time zone NOT NULL,
    status integer NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    body_bytes bigint,
    header_names text[] NOT NULL,
    remote_address inet,
    request_count bigint DEFAULT 1 NOT NULL
);

COMMENT ON TABLE authsync.rejected_requests IS 'Rejected requests to a project''s webhook URLs: the newest 100 per provider, kept for a week; never a secret or a body.';

COMMENT ON COLUMN authsync.rejected_requests.received_at IS 'When the last of them was received.';

COMMENT ON COLUMN authsync.rejected_requests.status IS 'The HTTP status of the answer; 503 asks the sender to retry.';

COMMENT ON COLUMN authsync.rejected_requests.reason IS 'A code for programs, such as signature_mismatch or timestamp_too_old.';

COMMENT ON COLUMN authsync.rejected_requests.detail IS 'A sentence for people: what is wrong, and what to do.';

COMMENT ON COLUMN authsync.rejected_requests.body_bytes IS 'Size of the body, as announced or as read; NULL: unknown.';

COMMENT ON COLUMN authsync.rejected_requests.header_names IS 'The names of the headers, without their values.';

COMMENT ON COLUMN authsync.rejected_requests.remote_address IS 'The address of the sender; NULL: unknown.';

COMMENT ON COLUMN authsync.rejected_requests.request_count IS 'Number of requests the row stands for: those with the same reason and address within a second; in a flood, also those not recorded on their own.';

ALTER TABLE authsync.rejected_requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME authsync.rejected_requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW authsync.rejections AS
 SELECT r.project_id,
    p.name AS project,
    r.provider,
    (sum(r.request_count) FILTER (WHERE (r.received_at > (clock_timestamp() - '01:00:00'::interval))))::bigint AS last_hour,
    max(r.received_at) AS last_received_at,
    (array_agg(r.status ORDER BY r.id DESC))[1] AS last_status,
    (array_agg(r.reason ORDER BY r.id DESC))[1] AS last_reason,
    (array_agg(r.detail ORDER BY r.id DESC))[1] AS last_detail,
    array_agg(DISTINCT r.reason) AS reasons
   FROM (authsync.rejected_requests r
     JOIN authsync.projects p ON ((p.id = r.project_id)))
  GROUP BY r.project_id, p.name, r.provider;

COMMENT ON VIEW authsync.rejections IS 'Refused requests by integration: how many in the last hour, and why the last one; see rejected_requests.';

COMMENT ON COLUMN authsync.rejections.last_hour IS 'Requests refused within the last hour; NULL: none.';

COMMENT ON COLUMN authsync.rejections.last_detail IS 'What is wrong, and what to do.';

CREATE SEQUENCE authsync.river_job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE authsync.river_job_id_seq OWNED BY authsync.river_job.id;

CREATE UNLOGGED TABLE authsync.river_leader (
    elected_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    leader_id text NOT NULL,
    name text DEFAULT 'default'::text NOT NULL,
    CONSTRAINT leader_id_length CHECK (((char_length(leader_id) > 0) AND (char_length(leader_id) < 128))),
    CONSTRAINT name_length CHECK ((name = 'default'::text))
);

CREATE TABLE authsync.river_migration (
    line text NOT NULL,
    version bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT line_length CHECK (((char_length(line) > 0) AND (char_length(line) < 128))),
    CONSTRAINT version_gte_1 CHECK ((version >= 1))
);

CREATE TABLE authsync.river_notification (
    id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    payload text NOT NULL,
    topic text NOT NULL,
    CONSTRAINT topic_length CHECK (((length(topic) > 0) AND (length(topic) < 128)))
);

CREATE SEQUENCE authsync.river_notification_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE authsync.river_notification_id_seq OWNED BY authsync.river_notification.id;

CREATE TABLE authsync.river_queue (
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    paused_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);

CREATE TABLE authsync.schema_code (
    singleton boolean DEFAULT true NOT NULL,
    revision integer NOT NULL,
    hash text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    installed_at timestamp with time zone,
    version bigint DEFAULT 0 NOT NULL,
    min_version bigint DEFAULT 0 NOT NULL,
    min_river_version integer DEFAULT 0 NOT NULL,
    server_major integer DEFAULT ((current_setting('server_version_num'::text))::integer / 10000) NOT NULL,
    CONSTRAINT schema_code_singleton_check CHECK (singleton)
);

COMMENT ON TABLE authsync.schema_code IS 'Which functions, views and triggers of authsync are installed in this schema.';

COMMENT ON COLUMN authsync.schema_code.revision IS 'Grows whenever the code changes; a binary leaves newer code than its own alone.';

COMMENT ON COLUMN authsync.schema_code.hash IS 'Digest of the code; empty while it is to be applied again.';

COMMENT ON COLUMN authsync.schema_code.installed_at IS 'When the schema was made; NULL if that is not known any more.';

COMMENT ON COLUMN authsync.schema_code.version IS 'The last migration applied, as in schema_migrations.';

COMMENT ON COLUMN authsync.schema_code.min_version IS 'The migration that a binary must know to work with this schema.';

COMMENT ON COLUMN authsync.schema_code.min_river_version IS 'The version of River''s tables that a binary must know.';

COMMENT ON COLUMN authsync.schema_code.server_major IS 'The PostgreSQL that printed the definitions in schema_objects.';

CREATE TABLE authsync.schema_migrations (
    version bigint NOT NULL,
    dirty boolean NOT NULL
);

COMMENT ON TABLE authsync.schema_migrations IS 'Version of the tables of this schema (golang-migrate).';

CREATE TABLE authsync.schema_objects (
    kind text NOT NULL,
    identity text NOT NULL,
    definition text NOT NULL
);

COMMENT ON TABLE authsync.schema_objects IS 'What authsync created in this schema, and its definition then; anything else in the schema is left alone.';

COMMENT ON COLUMN authsync.schema_objects.definition IS 'What the catalog said of it when it was made; of code, a digest of that.';

CREATE VIEW authsync.stuck_jobs AS
 SELECT r.id AS job_id,
    r.kind,
    r.state,
    ((r.args ->> 'project_id'::text))::uuid AS project_id,
        CASE r.state
            WHEN 'running'::authsync.river_job_state THEN 'running for more than a minute'::text
            ELSE 'ready for more than a minute: is a worker running?'::text
        END AS problem,
    (clock_timestamp() -
        CASE r.state
            WHEN 'running'::authsync.river_job_state THEN r.attempted_at
            ELSE r.scheduled_at
        END) AS age,
    r.attempt,
    r.attempted_by[cardinality(r.attempted_by)] AS worker,
    (r.errors[cardinality(r.errors)] ->> 'error'::text) AS last_error,
    r.args
   FROM authsync.river_job r
  WHERE (((r.state = 'running'::authsync.river_job_state) AND (r.attempted_at < (clock_timestamp() - '00:01:00'::interval))) OR ((r.state = 'available'::authsync.river_job_state) AND (r.scheduled_at < (clock_timestamp() - '00:01:00'::interval))));

COMMENT ON VIEW authsync.stuck_jobs IS 'Jobs that should have moved on by now; empty when all is well.';

COMMENT ON COLUMN authsync.stuck_jobs.age IS 'For how long it has been in this state.';

COMMENT ON COLUMN authsync.stuck_jobs.worker IS 'Who took it last.';

CREATE VIEW authsync.sync_run_progress AS
 SELECT b.id AS run_id,
    p.id AS project_id,
    p.name AS project,
    b.provider,
    b.kind,
    b.state,
    b.total,
    b.read,
    b.applied,
    b.unchanged,
    b.failed,
    round(((100.0 * (LEAST(b.read, b.total))::numeric) / (NULLIF(b.total, 0))::numeric), 1) AS percent,
    s.per_second,
        CASE
            WHEN ((b.finished_at IS NULL) AND (b.phase = 'walk'::text) AND (s.per_second > (0)::numeric)) THEN make_interval(secs => (((GREATEST((b.total - b.read), (0)::bigint))::numeric / s.per_second))::double precision)
            ELSE NULL::interval
        END AS time_left,
    b.wait_reason,
    b.error,
    b.started_at,
    b.updated_at,
    b.finished_at,
    b.phase,
    b.progressed_at
   FROM ((authsync.sync_runs b
     JOIN authsync.projects p ON ((p.id = b.project_id)))
     CROSS JOIN LATERAL ( SELECT round(((b.read)::numeric / NULLIF(EXTRACT(epoch FROM b.worked), (0)::numeric)), 1) AS per_second) s)
  ORDER BY b.started_at DESC;

COMMENT ON VIEW authsync.sync_run_progress IS 'How far each backfill and reconcile is, newest first.';

COMMENT ON COLUMN authsync.sync_run_progress.per_second IS 'Records a second while it worked.';

COMMENT ON COLUMN authsync.sync_run_progress.time_left IS 'Estimated from rate and total; NULL where they are not known.';

COMMENT ON COLUMN authsync.sync_run_progress.progressed_at IS 'When its last page was committed; before the first, started_at.';

CREATE TABLE authsync.watch_state (
    singleton boolean DEFAULT true NOT NULL,
    claimed_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    evaluated_at timestamp with time zone,
    resumed_at timestamp with time zone,
    worker_seen_at timestamp with time zone,
    CONSTRAINT watch_state_singleton_check CHECK (singleton)
);

COMMENT ON TABLE authsync.watch_state IS 'The evaluation of problems: one process at a time, whatever its role.';

COMMENT ON COLUMN authsync.watch_state.singleton IS 'Limits the table to one row.';

COMMENT ON COLUMN authsync.watch_state.claimed_until IS 'No other process evaluates before this.';

COMMENT ON COLUMN authsync.watch_state.evaluated_at IS 'When the last evaluation ended; NULL: there was none.';

COMMENT ON COLUMN authsync.watch_state.resumed_at IS 'When evaluations began again after a pause of minutes, in which no process ran: what was missed meanwhile is no problem yet.';

COMMENT ON COLUMN authsync.watch_state.worker_seen_at IS 'When a worker was last found running.';

ALTER TABLE ONLY authsync.event_outcomes ATTACH PARTITION authsync.event_outcomes_default DEFAULT;

ALTER TABLE ONLY authsync.inbox ATTACH PARTITION authsync.inbox_default DEFAULT;

ALTER TABLE ONLY authsync.river_job ALTER COLUMN id SET DEFAULT nextval('authsync.river_job_id_seq'::regclass);

ALTER TABLE ONLY authsync.river_notification ALTER COLUMN id SET DEFAULT nextval('authsync.river_notification_id_seq'::regclass);

ALTER TABLE ONLY authsync.api_keys
    ADD CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash);

ALTER TABLE ONLY authsync.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.clones
    ADD CONSTRAINT clones_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY authsync.deliveries
    ADD CONSTRAINT deliveries_change_id_destination_id_key UNIQUE (change_id, destination_id);

ALTER TABLE ONLY authsync.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.destination_progress
    ADD CONSTRAINT destination_progress_pkey PRIMARY KEY (destination_id);

ALTER TABLE ONLY authsync.destinations
    ADD CONSTRAINT destinations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.destinations
    ADD CONSTRAINT destinations_project_id_name_key UNIQUE (project_id, name);

ALTER TABLE ONLY authsync.directory_version
    ADD CONSTRAINT directory_version_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY authsync.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.event_outcomes
    ADD CONSTRAINT event_outcomes_pkey PRIMARY KEY (inbox_id, ordinal, received_at);

ALTER TABLE ONLY authsync.event_outcomes_default
    ADD CONSTRAINT event_outcomes_default_pkey PRIMARY KEY (inbox_id, ordinal, received_at);

ALTER TABLE ONLY authsync.external_ids
    ADD CONSTRAINT external_ids_pkey PRIMARY KEY (destination_id, record_type, record_id);

ALTER TABLE ONLY authsync.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (api_key_id, key_hash);

ALTER TABLE ONLY authsync.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (id, received_at);

ALTER TABLE ONLY authsync.inbox_default
    ADD CONSTRAINT inbox_default_pkey PRIMARY KEY (id, received_at);

ALTER TABLE ONLY authsync.inbox_pending
    ADD CONSTRAINT inbox_pending_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY authsync.inbox_rewrite_changes
    ADD CONSTRAINT inbox_rewrite_changes_pkey PRIMARY KEY (suffix, id);

ALTER TABLE ONLY authsync.inbox_rewrites
    ADD CONSTRAINT inbox_rewrites_pkey PRIMARY KEY (suffix, project_id);

ALTER TABLE ONLY authsync.inbox_usage
    ADD CONSTRAINT inbox_usage_pkey PRIMARY KEY (project_id, day);

ALTER TABLE ONLY authsync.integration_activity
    ADD CONSTRAINT integration_activity_pkey PRIMARY KEY (project_id, provider);

ALTER TABLE ONLY authsync.integrations
    ADD CONSTRAINT integrations_pkey PRIMARY KEY (project_id, provider);

ALTER TABLE ONLY authsync.job_requests
    ADD CONSTRAINT job_requests_pkey PRIMARY KEY (kind, subject);

ALTER TABLE ONLY authsync.message_counts
    ADD CONSTRAINT message_counts_pkey PRIMARY KEY (project_id, slot);

ALTER TABLE ONLY authsync.mirror_progress
    ADD CONSTRAINT mirror_progress_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY authsync.mirror_prunings
    ADD CONSTRAINT mirror_prunings_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY authsync.mirror_repairs
    ADD CONSTRAINT mirror_repairs_known_key UNIQUE (project_id, epoch, known_applied_to);

ALTER TABLE ONLY authsync.mirror_repairs
    ADD CONSTRAINT mirror_repairs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.probes
    ADD CONSTRAINT probes_pkey PRIMARY KEY (project_id, subject);

ALTER TABLE ONLY authsync.problem_calls
    ADD CONSTRAINT problem_calls_pkey PRIMARY KEY (problem_id, event, target);

ALTER TABLE ONLY authsync.problems
    ADD CONSTRAINT problems_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.projects
    ADD CONSTRAINT projects_name_key UNIQUE (name);

ALTER TABLE ONLY authsync.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.provisioned_webhooks
    ADD CONSTRAINT provisioned_webhooks_pkey PRIMARY KEY (project_id, provider);

ALTER TABLE ONLY authsync.pulls
    ADD CONSTRAINT pulls_pkey PRIMARY KEY (project_id, provider);

ALTER TABLE ONLY authsync.rate_limits
    ADD CONSTRAINT rate_limits_pkey PRIMARY KEY (scope, bucket);

ALTER TABLE ONLY authsync.refresh_requests
    ADD CONSTRAINT refresh_requests_pkey PRIMARY KEY (project_id, provider, user_id);

ALTER TABLE ONLY authsync.rejected_requests
    ADD CONSTRAINT rejected_requests_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.river_job
    ADD CONSTRAINT river_job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.river_leader
    ADD CONSTRAINT river_leader_pkey PRIMARY KEY (name);

ALTER TABLE ONLY authsync.river_migration
    ADD CONSTRAINT river_migration_pkey1 PRIMARY KEY (line, version);

ALTER TABLE ONLY authsync.river_notification
    ADD CONSTRAINT river_notification_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.river_queue
    ADD CONSTRAINT river_queue_pkey PRIMARY KEY (name);

ALTER TABLE ONLY authsync.schema_code
    ADD CONSTRAINT schema_code_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY authsync.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY authsync.schema_objects
    ADD CONSTRAINT schema_objects_pkey PRIMARY KEY (kind, identity);

ALTER TABLE ONLY authsync.sync_runs
    ADD CONSTRAINT sync_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY authsync.watch_state
    ADD CONSTRAINT watch_state_pkey PRIMARY KEY (singleton);

CREATE INDEX api_keys_project_id_idx ON authsync.api_keys USING btree (project_id);

CREATE INDEX audit_log_key_idx ON authsync.audit_log USING btree (key_id, occurred_at, id) WHERE (key_id IS NOT NULL);

CREATE INDEX audit_log_occurred_at_idx ON authsync.audit_log USING btree (occurred_at, id);

CREATE INDEX audit_log_project_idx ON authsync.audit_log USING btree (project_id, occurred_at, id) WHERE (project_id IS NOT NULL);

CREATE INDEX clones_source_project_id_idx ON authsync.clones USING btree (source_project_id);

CREATE INDEX deliveries_blocked_idx ON authsync.deliveries USING btree (destination_id, order_key, change_id) WHERE (state = 'blocked'::text);

CREATE INDEX deliveries_failed_idx ON authsync.deliveries USING btree (destination_id, record_type, record_id) WHERE (state = 'failed'::text);

CREATE INDEX deliveries_finished_idx ON authsync.deliveries USING btree (project_id, finished_at) WHERE (state = ANY (ARRAY['delivered'::text, 'coalesced'::text, 'cancelled'::text]));

CREATE INDEX deliveries_held_idx ON authsync.deliveries USING btree (destination_id, state, held_from) WHERE ((held_from IS NOT NULL) AND (state = ANY (ARRAY['held'::text, 'cancelled'::text])));

CREATE INDEX deliveries_project_idx ON authsync.deliveries USING btree (project_id, destination_id, id NULLS FIRST);

CREATE INDEX deliveries_ready_idx ON authsync.deliveries USING btree (destination_id, change_id) WHERE (state = 'ready'::text);

CREATE INDEX deliveries_record_idx ON authsync.deliveries USING btree (project_id, record_type, record_id, id);

CREATE INDEX deliveries_retrying_idx ON authsync.deliveries USING btree (destination_id, next_attempt_at) WHERE (state = 'retrying'::text);

CREATE INDEX deliveries_state_idx ON authsync.deliveries USING btree (project_id, destination_id, state, ((id + 0)));

CREATE INDEX deliveries_type_idx ON authsync.deliveries USING btree (project_id, destination_id, event_type, state, ((id + 0)) NULLS FIRST);

CREATE UNIQUE INDEX deliveries_under_way_key ON authsync.deliveries USING btree (destination_id, order_key) WHERE (state = ANY (ARRAY['ready'::text, 'retrying'::text]));

CREATE INDEX deliveries_unfinished_idx ON authsync.deliveries USING btree (record_id, record_type, destination_id, change_id) WHERE (finished_at IS NULL);

CREATE INDEX deliveries_user_idx ON authsync.deliveries USING btree (project_id, user_id, id);

CREATE INDEX deliveries_withheld_idx ON authsync.deliveries USING btree (record_id, record_type, destination_id, change_id) WHERE ((held_from IS NOT NULL) AND ((state || ''::text) = ANY (ARRAY['held'::text, 'cancelled'::text])));

CREATE INDEX erasures_project_id_idx ON authsync.erasures USING btree (project_id, requested_at DESC, id);

CREATE UNIQUE INDEX erasures_running_key ON authsync.erasures USING btree (project_id, digest) WHERE (state = 'running'::text);

CREATE INDEX event_outcomes_event_id_idx ON ONLY authsync.event_outcomes USING btree (event_id, inbox_id, ordinal);

CREATE INDEX event_outcomes_default_event_id_inbox_id_ordinal_idx ON authsync.event_outcomes_default USING btree (event_id, inbox_id, ordinal);

CREATE INDEX event_outcomes_failed_idx ON ONLY authsync.event_outcomes USING btree (project_id, inbox_id) WHERE (outcome = 'failed'::text);

CREATE INDEX event_outcomes_default_project_id_inbox_id_idx ON authsync.event_outcomes_default USING btree (project_id, inbox_id) WHERE (outcome = 'failed'::text);

CREATE INDEX event_outcomes_pending_idx ON ONLY authsync.event_outcomes USING btree (project_id, inbox_id) WHERE (outcome = 'pending'::text);

CREATE INDEX event_outcomes_default_project_id_inbox_id_idx1 ON authsync.event_outcomes_default USING btree (project_id, inbox_id) WHERE (outcome = 'pending'::text);

CREATE INDEX event_outcomes_outcome_idx ON ONLY authsync.event_outcomes USING btree (project_id, outcome, inbox_id, ordinal) WHERE (outcome <> 'applied'::text);

CREATE INDEX event_outcomes_default_project_id_outcome_inbox_id_ordinal_idx ON authsync.event_outcomes_default USING btree (project_id, outcome, inbox_id, ordinal) WHERE (outcome <> 'applied'::text);

CREATE INDEX event_outcomes_record_idx ON ONLY authsync.event_outcomes USING btree (record_id, record_type, project_id, inbox_id, ordinal) WHERE (record_id IS NOT NULL);

CREATE INDEX event_outcomes_default_record_id_record_type_project_id_inb_idx ON authsync.event_outcomes_default USING btree (record_id, record_type, project_id, inbox_id, ordinal) WHERE (record_id IS NOT NULL);

CREATE INDEX event_outcomes_type_idx ON ONLY authsync.event_outcomes USING btree (type, project_id, inbox_id, ordinal);

CREATE INDEX event_outcomes_default_type_project_id_inbox_id_ordinal_idx ON authsync.event_outcomes_default USING btree (type, project_id, inbox_id, ordinal);

CREATE INDEX event_outcomes_user_idx ON ONLY authsync.event_outcomes USING btree (user_id, project_id, inbox_id, ordinal);

CREATE INDEX event_outcomes_default_user_id_project_id_inbox_id_ordinal_idx ON authsync.event_outcomes_default USING btree (user_id, project_id, inbox_id, ordinal);

CREATE INDEX idempotency_keys_created_at_idx ON authsync.idempotency_keys USING btree (created_at);

CREATE INDEX inbox_project_idx ON ONLY authsync.inbox USING btree (project_id, id);

CREATE INDEX inbox_default_project_id_id_idx ON authsync.inbox_default USING btree (project_id, id);

CREATE INDEX inbox_provider_idx ON ONLY authsync.inbox USING btree (project_id, provider, id);

CREATE INDEX inbox_default_project_id_provider_id_idx ON authsync.inbox_default USING btree (project_id, provider, id);

CREATE INDEX inbox_pending_newest_idx ON authsync.inbox_pending USING btree (project_id, spread, last_id);

CREATE INDEX probes_next_probe_at_idx ON authsync.probes USING btree (next_probe_at);

CREATE INDEX problem_calls_waiting_idx ON authsync.problem_calls USING btree (next_attempt_at) WHERE ((delivered_at IS NULL) AND (failed_at IS NULL));

CREATE INDEX problems_closed_at_idx ON authsync.problems USING btree (closed_at) WHERE (closed_at IS NOT NULL);

CREATE UNIQUE INDEX problems_open_key ON authsync.problems USING btree (kind, COALESCE(project_id, '00000000-0000-0000-0000-000000000000'::uuid), subject) WHERE (closed_at IS NULL);

CREATE INDEX problems_project_id_idx ON authsync.problems USING btree (project_id, id);

CREATE INDEX refresh_requests_next_attempt_at_idx ON authsync.refresh_requests USING btree (project_id, provider, next_attempt_at) WHERE (abandoned_at IS NULL);

CREATE INDEX rejected_requests_project_idx ON authsync.rejected_requests USING btree (project_id, provider, id);

CREATE INDEX river_job_args_index ON authsync.river_job USING gin (args);

CREATE INDEX river_job_kind ON authsync.river_job USING btree (kind);

CREATE INDEX river_job_metadata_index ON authsync.river_job USING gin (metadata);

CREATE INDEX river_job_prioritized_fetching_index ON authsync.river_job USING btree (state, queue, priority, scheduled_at, id);

CREATE INDEX river_job_state_and_finalized_at_index ON authsync.river_job USING btree (state, finalized_at) WHERE (finalized_at IS NOT NULL);

CREATE UNIQUE INDEX river_job_unique_idx ON authsync.river_job USING btree (unique_key) WHERE ((unique_key IS NOT NULL) AND (unique_states IS NOT NULL) AND authsync.river_job_state_in_bitmask(unique_states, state));

CREATE INDEX river_notification_created_at_idx ON authsync.river_notification USING btree (created_at);

CREATE INDEX river_notification_topic_id_idx ON authsync.river_notification USING btree (topic, id);

CREATE INDEX sync_runs_project_id_idx ON authsync.sync_runs USING btree (project_id, provider, started_at DESC);

CREATE UNIQUE INDEX sync_runs_unfinished_key ON authsync.sync_runs USING btree (project_id, provider) WHERE (state = ANY (ARRAY['running'::text, 'waiting'::text]));

ALTER INDEX authsync.event_outcomes_event_id_idx ATTACH PARTITION authsync.event_outcomes_default_event_id_inbox_id_ordinal_idx;

ALTER INDEX authsync.event_outcomes_pkey ATTACH PARTITION authsync.event_outcomes_default_pkey;

ALTER INDEX authsync.event_outcomes_failed_idx ATTACH PARTITION authsync.event_outcomes_default_project_id_inbox_id_idx;

ALTER INDEX authsync.event_outcomes_pending_idx ATTACH PARTITION authsync.event_outcomes_default_project_id_inbox_id_idx1;

ALTER INDEX authsync.event_outcomes_outcome_idx ATTACH PARTITION authsync.event_outcomes_default_project_id_outcome_inbox_id_ordinal_idx;

ALTER INDEX authsync.event_outcomes_record_idx ATTACH PARTITION authsync.event_outcomes_default_record_id_record_type_project_id_inb_idx;

ALTER INDEX authsync.event_outcomes_type_idx ATTACH PARTITION authsync.event_outcomes_default_type_project_id_inbox_id_ordinal_idx;

ALTER INDEX authsync.event_outcomes_user_idx ATTACH PARTITION authsync.event_outcomes_default_user_id_project_id_inbox_id_ordinal_idx;

ALTER INDEX authsync.inbox_pkey ATTACH PARTITION authsync.inbox_default_pkey;

ALTER INDEX authsync.inbox_project_idx ATTACH PARTITION authsync.inbox_default_project_id_id_idx;

ALTER INDEX authsync.inbox_provider_idx ATTACH PARTITION authsync.inbox_default_project_id_provider_id_idx;

CREATE OR REPLACE VIEW authsync.pending_refreshes AS
 SELECT p.id AS project_id,
    p.name AS project,
    w.provider,
    count(*) FILTER (WHERE (w.abandoned_at IS NULL)) AS waiting,
    min(w.requested_at) FILTER (WHERE (w.abandoned_at IS NULL)) AS oldest,
    count(*) FILTER (WHERE (w.abandoned_at IS NOT NULL)) AS given_up,
    (array_agg(w.user_id ORDER BY w.requested_at) FILTER (WHERE (w.last_error IS NOT NULL)))[1:10] AS users_with_problems,
    max(w.last_error) AS last_error,
    (r.metadata #>> '{output,wait_reason}'::text[]) AS wait_reason,
    r.id AS job_id,
    (r.state)::text AS job_state,
        CASE
            WHEN (r.state = ANY (ARRAY['available'::authsync.river_job_state, 'scheduled'::authsync.river_job_state, 'retryable'::authsync.river_job_state])) THEN r.scheduled_at
            ELSE NULL::timestamp with time zone
        END AS next_try_at
   FROM (((authsync.refresh_requests w
     JOIN authsync.projects p ON ((p.id = w.project_id)))
     LEFT JOIN authsync.job_requests j ON (((j.kind = 'refresh_users'::text) AND (j.subject = (((w.project_id)::text || '/'::text) || w.provider)))))
     LEFT JOIN authsync.river_job r ON ((r.id = j.job_id)))
  GROUP BY p.id, w.provider, r.id;

CREATE TRIGGER audit_log_protect BEFORE DELETE OR UPDATE ON authsync.audit_log FOR EACH ROW EXECUTE FUNCTION authsync.protect_audit_log();

ALTER TABLE authsync.audit_log ENABLE ALWAYS TRIGGER audit_log_protect;

COMMENT ON TRIGGER audit_log_protect ON authsync.audit_log IS 'Keeps the audit log append-only.';

CREATE TRIGGER audit_log_protect_all BEFORE TRUNCATE ON authsync.audit_log FOR EACH STATEMENT EXECUTE FUNCTION authsync.protect_audit_log();

ALTER TABLE authsync.audit_log ENABLE ALWAYS TRIGGER audit_log_protect_all;

COMMENT ON TRIGGER audit_log_protect_all ON authsync.audit_log IS 'Keeps the audit log from being emptied at once.';

CREATE TRIGGER integrations_bump_directory_version AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON authsync.integrations FOR EACH STATEMENT EXECUTE FUNCTION authsync.bump_directory_version();

ALTER TABLE authsync.integrations ENABLE ALWAYS TRIGGER integrations_bump_directory_version;

COMMENT ON TRIGGER integrations_bump_directory_version ON authsync.integrations IS 'Makes every process reload projects and integrations.';

CREATE TRIGGER integrations_prepare_pull AFTER INSERT OR UPDATE ON authsync.integrations FOR EACH ROW WHEN ((new.options @> '{"pull": true}'::jsonb)) EXECUTE FUNCTION authsync.prepare_pull();

ALTER TABLE authsync.integrations ENABLE ALWAYS TRIGGER integrations_prepare_pull;

COMMENT ON TRIGGER integrations_prepare_pull ON authsync.integrations IS 'Makes the row of authsync.pulls for an integration with option pull.';

CREATE TRIGGER projects_bump_directory_version AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON authsync.projects FOR EACH STATEMENT EXECUTE FUNCTION authsync.bump_directory_version();

ALTER TABLE authsync.projects ENABLE ALWAYS TRIGGER projects_bump_directory_version;

COMMENT ON TRIGGER projects_bump_directory_version ON authsync.projects IS 'Makes every process reload projects and integrations.';

ALTER TABLE ONLY authsync.api_keys
    ADD CONSTRAINT api_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.clones
    ADD CONSTRAINT clones_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.clones
    ADD CONSTRAINT clones_source_project_id_fkey FOREIGN KEY (source_project_id) REFERENCES authsync.projects(id) ON DELETE SET NULL;

ALTER TABLE ONLY authsync.deliveries
    ADD CONSTRAINT deliveries_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES authsync.destinations(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.destination_progress
    ADD CONSTRAINT destination_progress_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES authsync.destinations(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.destinations
    ADD CONSTRAINT destinations_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.erasures
    ADD CONSTRAINT erasures_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.external_ids
    ADD CONSTRAINT external_ids_destination_id_fkey FOREIGN KEY (destination_id) REFERENCES authsync.destinations(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.idempotency_keys
    ADD CONSTRAINT idempotency_keys_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES authsync.api_keys(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.inbox_usage
    ADD CONSTRAINT inbox_usage_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.integration_activity
    ADD CONSTRAINT integration_activity_integration_fkey FOREIGN KEY (project_id, provider) REFERENCES authsync.integrations(project_id, provider) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.integrations
    ADD CONSTRAINT integrations_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.message_counts
    ADD CONSTRAINT message_counts_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.mirror_progress
    ADD CONSTRAINT mirror_progress_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.mirror_prunings
    ADD CONSTRAINT mirror_prunings_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.mirror_repairs
    ADD CONSTRAINT mirror_repairs_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.probes
    ADD CONSTRAINT probes_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.problem_calls
    ADD CONSTRAINT problem_calls_problem_id_fkey FOREIGN KEY (problem_id) REFERENCES authsync.problems(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.problems
    ADD CONSTRAINT problems_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.provisioned_webhooks
    ADD CONSTRAINT provisioned_webhooks_integration_fkey FOREIGN KEY (project_id, provider) REFERENCES authsync.integrations(project_id, provider) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.pulls
    ADD CONSTRAINT pulls_project_id_provider_fkey FOREIGN KEY (project_id, provider) REFERENCES authsync.integrations(project_id, provider) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.refresh_requests
    ADD CONSTRAINT refresh_requests_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.rejected_requests
    ADD CONSTRAINT rejected_requests_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY authsync.sync_runs
    ADD CONSTRAINT sync_runs_project_id_fkey FOREIGN KEY (project_id) REFERENCES authsync.projects(id) ON DELETE CASCADE;

