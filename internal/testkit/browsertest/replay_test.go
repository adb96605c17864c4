package browsertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A failed event is replayed, and its page shows the new outcome without a reload.
func TestAFailedEventIsReplayed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	// A customer's trigger that fails while told to, and waits as long as the test holds a lock.
	run(t, s.Mirror, `CREATE TABLE public.refusing ();
		CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $fn$
		BEGIN
			PERFORM pg_advisory_xact_lock(42);
			IF to_regclass('public.refusing') IS NOT NULL THEN RAISE EXCEPTION 'no users today'; END IF;
			RETURN NEW;
		END $fn$;
		CREATE TRIGGER refuse BEFORE INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	s.clerk(shop, provider.Sample{Type: "user.created", UserID: "user_ada", At: time.Now()})
	// As if the job had been cancelled in River UI: nothing but a replay applies the event.
	waittest.Until(t, func() bool {
		tag, err := s.Control.Exec(t.Context(), `DELETE FROM authsync.river_job WHERE kind = 'retry_event' AND state <> 'running'`)
		require.NoError(t, err)
		return tag.RowsAffected() == 1
	})

	b := s.admin()
	b.open(pathOf(shop.ID.String(), "events") + "?outcome=failed")
	b.press(`//td/following-sibling::th//a`)
	require.Contains(t, b.words("#facts"), "failed")
	require.Contains(t, b.words("#facts"), "no users today")
	run(t, s.Mirror, `DROP TABLE public.refusing`)
	held, err := s.Mirror.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), `SELECT pg_advisory_xact_lock(42)`)
	require.NoError(t, err)
	b.press(`//button[.="Replay this event"]`)
	require.Contains(t, b.words(".notice"), "The event is queued again")
	require.NotContains(t, b.words("#facts"), "applied ")
	stays := b.stays()
	require.NoError(t, held.Rollback(t.Context()))
	b.until(`document.querySelector("#facts .state").innerText === "applied"`)
	b.until(stays)
	b.look()
}
