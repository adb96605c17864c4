-- is_same_value tells whether two JSON values are the same thing, perhaps written in two
-- forms: the same user comes as an event, from a provider's API and from a table, and each
-- writes some values in its own way.
--
--   5021, "5021"                         numbers, as bigint and numeric columns are printed
--   9007199254740993, 9007199254740992   a number that went through JavaScript
--   true, 1, "t"                         truth, as databases without booleans keep it
--   "2026-03-04T05:06:07.089Z", "2026-03-04 05:06:07.089123+00", 1772600767089   instants; what is
--                                        below a millisecond does not count, nor does UTC
--   {"a": 1}, "{\"a\": 1}"               JSON that is kept as a text
--   "0b54…-…", "0B54…"                   UUIDs
--
-- Null and absent are the same.
--
-- Repeatable: it changes nothing.
-- Order:      of no matter.
-- Result:     true or false. With p_is_loose a key that only one of two objects has is no
--             difference: it is for values of which one form has less than another. Of what
--             is nested deeper than p_levels only the very same is the same.
CREATE OR REPLACE FUNCTION capydb_auth.is_same_value(
    p_one      jsonb,
    p_other    jsonb,
    p_is_loose boolean,
    p_levels   integer
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $fn$
DECLARE
    v_one    jsonb := nullif(p_one, 'null'::jsonb);
    v_other  jsonb := nullif(p_other, 'null'::jsonb);
    v_type_1 text := least(jsonb_typeof(v_one), jsonb_typeof(v_other));
    v_type_2 text := greatest(jsonb_typeof(v_one), jsonb_typeof(v_other));
    v_text   text;
BEGIN
    IF v_one IS NOT DISTINCT FROM v_other THEN
        RETURN true;
    END IF;
    IF v_one IS NULL OR v_other IS NULL OR p_levels = 0 THEN
        RETURN false;
    END IF;

    CASE v_type_1 || ' ' || v_type_2
    WHEN 'object object' THEN
        RETURN NOT EXISTS (
            SELECT FROM jsonb_each(v_one) AS a
            FULL JOIN jsonb_each(v_other) AS b ON b.key = a.key
            WHERE NOT (p_is_loose AND (a.key IS NULL OR b.key IS NULL))
              AND NOT capydb_auth.is_same_value(a.value, b.value, p_is_loose, p_levels - 1)
        );
    WHEN 'array array' THEN
        RETURN jsonb_array_length(v_one) = jsonb_array_length(v_other) AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(v_one) WITH ORDINALITY AS a (value, place)
            JOIN jsonb_array_elements(v_other) WITH ORDINALITY AS b (value, place) ON b.place = a.place
            WHERE NOT capydb_auth.is_same_value(a.value, b.value, p_is_loose, p_levels - 1)
        );
    WHEN 'array string', 'object string' THEN
        v_text := CASE WHEN jsonb_typeof(v_one) = 'string' THEN v_one ELSE v_other END #>> '{}';
        IF v_text !~ '^\s*[[{]' THEN
            RETURN false;
        END IF;
        BEGIN
            v_one := CASE WHEN jsonb_typeof(v_one) = 'string' THEN v_other ELSE v_one END;
            v_other := v_text::jsonb;
        EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
            RETURN false;
        END;
        RETURN jsonb_typeof(v_one) = jsonb_typeof(v_other) AND capydb_auth.is_same_value(v_one, v_other, p_is_loose, p_levels - 1);
    WHEN 'array object', 'array number', 'array boolean', 'boolean object', 'number object' THEN
        RETURN false;
    ELSE
        RETURN capydb_auth.is_same_scalar(v_one, v_other);
    END CASE;
END;
$fn$;

COMMENT ON FUNCTION capydb_auth.is_same_value(jsonb, jsonb, boolean, integer)
    IS 'Whether two JSON values are the same thing, perhaps written in two forms.';
