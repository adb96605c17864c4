-- is_same_scalar is is_same_value for texts, numbers and booleans.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     true or false.
CREATE OR REPLACE FUNCTION capydb_auth.is_same_scalar(
    p_one   jsonb,
    p_other jsonb
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
DECLARE
    v_one    text := p_one #>> '{}';
    v_other  text := p_other #>> '{}';
    v_kinds  text[] := ARRAY[jsonb_typeof(p_one), jsonb_typeof(p_other)];
    v_true   CONSTANT text[] := ARRAY['true', 't', 'yes', 'y', '1'];
    v_false  CONSTANT text[] := ARRAY['false', 'f', 'no', 'n', '0'];
    v_number CONSTANT text := '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$';
    v_date   CONSTANT text := '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)';
    v_uuid   CONSTANT text := '^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$';
    v_ones   timestamptz;
    v_others timestamptz;
BEGIN
    IF v_one = v_other THEN
        RETURN true;
    END IF;
    IF 'boolean' = ANY (v_kinds) THEN
        RETURN lower(v_one) = ANY (v_true) AND lower(v_other) = ANY (v_true)
            OR lower(v_one) = ANY (v_false) AND lower(v_other) = ANY (v_false);
    END IF;
    -- Of two texts neither is a number: "1.10" and "1.1" may be versions.
    IF 'number' = ANY (v_kinds) AND length(v_one) <= 1000 AND length(v_other) <= 1000 AND v_one ~ v_number AND v_other ~ v_number THEN
        RETURN v_one::numeric = v_other::numeric
            -- JavaScript keeps 15 to 17 digits. (float8 refuses what is beyond its range.)
            OR abs(v_one::numeric) < 1e300 AND abs(v_other::numeric) < 1e300
                AND trunc(v_one::numeric, 300)::float8 = trunc(v_other::numeric, 300)::float8;
    END IF;
    IF v_one ~ v_date OR v_other ~ v_date THEN
        BEGIN
            v_ones := CASE
                WHEN v_one ~ v_date THEN v_one::timestamptz
                WHEN v_one ~ '^[0-9]{9,15}$' THEN to_timestamp(v_one::float8 / 1000)
            END;
            v_others := CASE
                WHEN v_other ~ v_date THEN v_other::timestamptz
                WHEN v_other ~ '^[0-9]{9,15}$' THEN to_timestamp(v_other::float8 / 1000)
            END;
        EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
            RETURN false;
        END;
        RETURN coalesce(date_trunc('milliseconds', v_ones) = date_trunc('milliseconds', v_others), false);
    END IF;
    RETURN lower(v_one) ~ v_uuid AND lower(replace(v_one, '-', '')) = lower(replace(v_other, '-', ''));
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.is_same_scalar(jsonb, jsonb)
    IS 'Whether two texts, numbers or booleans are the same thing, perhaps written in two forms.';
