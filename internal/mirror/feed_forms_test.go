package mirror_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// firstForm gives the changes of users the form in which they were written before migration 10.
const firstForm = `
	UPDATE capydb_auth.changes AS c
	SET changed = f.changed, after = f.record_row - 'raw', changed_fields = NULL, after_email = NULL, after_first_name = NULL,
	    after_last_name = NULL, after_username = NULL, after_image_url = NULL, after_created_at = NULL, after_updated_at = NULL,
	    after_last_sign_in_at = NULL, after_deleted_at = NULL
	FROM capydb_auth.read_changes(0, 100) AS f
	WHERE f.id = c.id`

// A mirror that was upgraded has changes of both forms, and nobody who reads them can tell.
func TestChangesOfTheFirstFormAreReadAsBefore(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	apply(t, pool, []mirror.Event{withRaw(update("1", 1, "email", "a@example.com", "first_name", "Ada", "updated_at", "2026-03-01T12:00:01Z"), `{"n": 1}`)})
	apply(t, pool, []mirror.Event{withRaw(update("2", 2, "email", "b@example.com", "last_sign_in_at", "2026-02-01T12:00:01.5Z"), `{"n": 2}`), deletion("3", 3)})
	read := func() (found []string) {
		for _, query := range []string{
			`SELECT jsonb_agg(c ORDER BY c.id)::text FROM capydb_auth.read_changes(0, 100) AS c`,
			`SELECT jsonb_agg(c ORDER BY c.id)::text FROM capydb_auth.record_changes AS c`,
			`SELECT jsonb_agg(c)::text FROM capydb_auth.record_states('{1,2}', '{2,3}', '{2,9}') AS c`,
			`SELECT count(*)::text FROM capydb_auth.close_changes('{u1}', '{other}', '{2026-03-01}', '1 day')`,
		} {
			found = append(found, one(t, pool, query))
		}
		return found
	}
	before := read()
	require.Contains(t, before[1], `"deleted_at"`)
	_, err := pool.Exec(t.Context(), firstForm)
	require.NoError(t, err)
	require.Equal(t, "0", one(t, pool, `SELECT count(changed_fields)::text FROM capydb_auth.changes`))
	require.Equal(t, before, read())

	// In the zone of whoever reads, times are those of UTC still.
	apply(t, pool, []mirror.Event{update("5", 5, "updated_at", "2026-03-01T12:00:05Z")})
	require.Equal(t, "+00:00", one(t, pool, `
		SELECT right(c.after ->> 'updated_at', 6)
		FROM (SELECT set_config('timezone', 'Asia/Tokyo', false) OFFSET 0) AS z (zone), capydb_auth.record_changes AS c WHERE z.zone IS NOT NULL AND c.id = 4`))
}

// Four users to a page of 8 kB left room for one of them: half of a batch wrote all indexes.
func TestUpdatesOfNeighboursStayInTheirPages(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	const users = 60
	for second := 1; second <= 2; second++ {
		var events []mirror.Event
		for i := range users {
			e := withRaw(update(fmt.Sprintf("%d-%d", second, i), second, "email", "a@example.com"), fmt.Sprintf(`{"n": %d, "x": %q}`, second, strings.Repeat("x", 1050)))
			e.UserID = fmt.Sprintf("u%02d", i)
			events = append(events, e)
		}
		apply(t, pool, events)
		if second == 1 {
			_, err := pool.Exec(t.Context(), `CREATE TABLE placed AS SELECT u.id, u.ctid AS place FROM capydb_auth.users AS u`)
			require.NoError(t, err)
		}
	}
	require.Equal(t, "60 60", one(t, pool, `
		SELECT count(*) FILTER (WHERE u.ctid <> p.place) || ' ' || count(*) FILTER (WHERE (u.ctid::text::point)[0] = (p.place::text::point)[0])
		FROM capydb_auth.users AS u JOIN placed AS p USING (id)`), "written anew, and in their pages")
}
