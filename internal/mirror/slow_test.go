package mirror_test

import (
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// slow installs a trigger that never ends with user u3. Each call that meets it is cancelled at once, as it would be by
// statement_timeout later; tries counts them, and the other sequence has the last one's statement_timeout in milliseconds. What
// sequences know is not rolled back.
func slow(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	exec(t, pool, `
		CREATE SEQUENCE public.tries;
		CREATE SEQUENCE public.milliseconds;
		CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM nextval('public.tries'),
				setval('public.milliseconds', (extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::bigint);
			PERFORM pg_cancel_backend(pg_backend_pid());
			PERFORM pg_sleep(3600);
			RETURN NULL;
		END $$;
		CREATE TRIGGER linger AFTER INSERT ON capydb_auth.users FOR EACH ROW WHEN (new.id = 'u3') EXECUTE FUNCTION public.linger()`)
}

const (
	tries = `SELECT (CASE WHEN is_called THEN last_value ELSE 0 END)::text FROM public.tries`
	limit = `SELECT last_value::text FROM public.milliseconds`
)

// Each call that meets the slow event costs as long as statement_timeout allows, so there are few.
func TestAnEventThatTakesTooLongIsFoundByFewCalls(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	slow(t, pool)
	m := newMirrors(t, pool)
	results, err := m.Apply(t.Context(), projectID(), users(64))
	require.NoError(t, err)
	requireOnlyFails(t, results, 3, pgerrcode.QueryCanceled)
	require.Equal(t, "2", one(t, pool, tries))
	require.Equal(t, "5020", one(t, pool, limit), "the second call had one event")

	// From now on calls of this project have less time.
	again := users(64)
	for i := range again {
		again[i].At, again[i].ID = again[i].At.Add(time.Hour), again[i].ID+"-again"
	}
	results, err = m.Apply(t.Context(), projectID(), again[3:])
	require.NoError(t, err)
	requireOnlyFails(t, results, 0, pgerrcode.QueryCanceled)
	require.Equal(t, "4", one(t, pool, tries))
}

// An event that is tried again has a call of its own, which is short.
func TestAnEventThatIsTriedAloneHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	slow(t, pool)
	m := newMirrors(t, pool)
	events := users(8)
	for _, i := range []int{1, 3, 5} {
		events[i].Alone = true
	}
	results, err := m.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	for i, r := range results {
		switch i {
		case 3:
			require.Error(t, r.Err)
		case 5: // it would wait for one more
			require.NoError(t, r.Err)
			require.Equal(t, mirror.OutcomeDeferred, r.Outcome)
		default:
			require.NoError(t, r.Err)
			require.Equal(t, mirror.Applied, r.Outcome, "event %d", i)
		}
	}
	require.Equal(t, "1", one(t, pool, tries))
	require.Equal(t, "5020", one(t, pool, limit))
}
