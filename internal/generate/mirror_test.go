package generate_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// TestMirrorGolden holds mirror.json against the catalog of an installed mirror.
func TestMirrorGolden(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	rows, err := pool.Query(t.Context(), mirrorSQL)
	require.NoError(t, err)
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	require.NoError(t, err)
	pgtest.Golden(t, "mirror.json", text+"\n")
}

// mirrorSQL describes what applications read: the tables of the record types without what only authsync reads, the
// views of active records, and those of a user's addresses. A view's column is NOT NULL where the table's is;
// of the addresses, what the view's condition or its expression makes so.
const mirrorSQL = `
WITH shown AS (
    SELECT c.oid, c.relname::text AS name, c.relkind = 'v' AS is_view, regexp_replace(c.relname, '^active_', '') AS base
    FROM pg_class AS c
    WHERE c.relnamespace = 'capydb_auth'::regnamespace
      AND (c.relname IN ('users', 'organizations', 'memberships', 'invitations', 'sessions', 'user_emails', 'user_identities', 'user_phones')
           OR c.relname LIKE 'active\_%')
)
SELECT jsonb_pretty(jsonb_build_object(
    'relations', (
        SELECT jsonb_agg(jsonb_build_object(
            'name', s.name,
            'view', s.is_view,
            'comment', obj_description(s.oid, 'pg_class'),
            'key', (SELECT coalesce(jsonb_agg(a.attname ORDER BY k.ordinality), '[]')
                    FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, ordinality), pg_attribute AS a
                    WHERE i.indrelid = ('capydb_auth.' || s.base)::regclass AND i.indisprimary
                      AND a.attrelid = i.indrelid AND a.attnum = k.attnum),
            'columns', (SELECT jsonb_agg(jsonb_build_object(
                            'name', a.attname,
                            'type', replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz'),
                            'nullable', NOT (coalesce(b.attnotnull, a.attnotnull)
                                OR (s.name LIKE 'user\_%' AND a.attname IN ('user_id', 'is_primary'))
                                OR (s.name, a.attname) IN (('user_emails', 'email'), ('user_phones', 'phone_number'))),
                            'comment', coalesce(col_description(a.attrelid, a.attnum), col_description(b.attrelid, b.attnum), '')
                        ) ORDER BY a.attnum)
                        FROM pg_attribute AS a
                        LEFT JOIN pg_attribute AS b
                            ON s.is_view AND b.attrelid = ('capydb_auth.' || s.base)::regclass AND b.attname = a.attname AND s.base <> s.name
                        WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped
                          AND a.attname NOT IN ('own_deleted_at', 'last_event_id', 'last_event_sent_at', 'last_event_fields', 'field_versions'))
        ) ORDER BY s.is_view, s.name <> 'users', s.name)
        FROM shown AS s
    ),
    'tables', (SELECT jsonb_agg(c.relname ORDER BY c.relname) FROM pg_class AS c
               WHERE c.relnamespace = 'capydb_auth'::regnamespace AND c.relkind IN ('r', 'p'))
))`
