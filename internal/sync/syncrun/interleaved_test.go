package syncrun_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// What may happen beside a run.
const (
	change     = iota // a sign-up or an edit, with its webhook
	remove            // with its webhook
	restore           // a removal is taken back, of which neither webhook nor clock tell
	quietly           // an edit that neither webhook nor clock tell of; a field may go
	arrive            // one of the webhooks under way arrives
	refer             // an order refers to the user before its webhook has come
	numberActs = iota
)

type act struct {
	kind, n int
	user    string
	lost    bool // the webhook never arrives
}

func acts() *rapid.Generator[act] {
	return rapid.Custom(func(t *rapid.T) act {
		return act{
			kind: rapid.IntRange(0, numberActs-1).Draw(t, "kind"), n: rapid.IntRange(0, 99).Draw(t, "n"),
			user: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user"), lost: rapid.Bool().Draw(t, "lost"),
		}
	})
}

// story is what happens to an account and its mirror while runs work on them.
type story struct {
	*testBundle
	*living

	one      sync.Mutex // an act at a time
	script   []act
	underway []mirror.Event
	removed  map[string]map[string]any
	drifts   bool // something has happened that webhooks alone do not heal
	err      error
}

// goOn lets some more happen.
func (s *story) goOn(number int) {
	s.one.Lock()
	defer s.one.Unlock()
	for ; number > 0 && len(s.script) > 0; number-- {
		a := s.script[0]
		s.script = s.script[1:]
		if err := s.act(a); err != nil && s.err == nil {
			s.err = err
		}
	}
}

func (s *story) act(a act) error {
	switch a.kind {
	case change:
		last := any(nil)
		if a.n%2 == 0 {
			last = fmt.Sprint("last ", a.n)
		}
		s.send(s.putWith(a.user, fmt.Sprint("n", a.n), last), a.lost)
	case remove:
		if _, there := s.names()[a.user]; there {
			was, deletion := s.remove(a.user)
			s.removed[a.user] = was
			s.send(deletion, a.lost)
		}
	case restore:
		if was := s.removed[a.user]; was != nil {
			s.drifts = true
			s.restore(was)
			delete(s.removed, a.user)
		}
	case quietly:
		s.drifts = true
		s.edit(a.user, func(user map[string]any) {
			user["first_name"] = fmt.Sprint("quiet ", a.n)
			if a.n%2 == 0 {
				delete(user, "last_name")
			}
		})
	case refer:
		s.drifts = true
		_, err := s.project.Exec(context.Background(), `SELECT capydb_auth.ensure_user($1)`, a.user)
		return err
	case arrive:
		if len(s.underway) > 0 {
			return s.deliver(a.n % len(s.underway))
		}
	}
	return nil
}

func (s *story) send(webhook mirror.Event, lost bool) {
	if lost {
		s.drifts = true
		return
	}
	s.underway = append(s.underway, webhook)
}

func (s *story) deliver(i int) error {
	webhook := s.underway[i]
	s.underway = slices.Delete(s.underway, i, i+1)
	results, err := s.mirrors.Apply(context.Background(), s.projectID, []mirror.Event{webhook})
	if err == nil {
		err = results[0].Err
	}
	return err
}

// current opens the account of the story that is told.
type current struct {
	mu sync.Mutex
	of source.Accounts
}

func (c *current) Open(ctx context.Context, id uuid.UUID, name string) (source.Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of.Open(ctx, id, name)
}

func (c *current) set(of source.Accounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of = of
}

// TestRunsAndWebhooksInterleavedEndInTheProvidersState lets an account change and
// webhooks arrive, late, in any order or never, between any two answers of the
// provider to backfills and reconciles. If something was lost, one more reconcile
// is needed; without that, webhooks alone end in the provider's state whatever the
// runs have read meanwhile.
func TestRunsAndWebhooksInterleavedEndInTheProvidersState(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, 0)
	accounts := &current{}
	b.accounts, b.store = accounts, syncrun.NewStore(b.control, accounts)
	b.work(t, b.mirrors, 0)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := b.project.Exec(context.Background(), `
			TRUNCATE capydb_auth.users, capydb_auth.processed_events, capydb_auth.changes`)
		require.NoError(rt, err)
		s := &story{testBundle: b, living: newLiving(), removed: map[string]map[string]any{}, script: rapid.SliceOfN(acts(), 1, 30).Draw(rt, "script")}
		accounts.set(s.living)
		s.send(s.put("anchor", "Anchor"), false) // an empty list deletes nobody
		s.goOn(rapid.IntRange(0, 10).Draw(rt, "before"))
		each := rapid.IntRange(0, 3).Draw(rt, "between two answers")
		s.step = func(int) { s.goOn(each) }
		for _, kind := range rapid.SliceOfN(rapid.SampledFrom([]string{provider.KindBackfill, provider.KindReconcile}), 1, 2).Draw(rt, "runs") {
			s.run(rt, kind)
		}
		s.step = nil
		s.goOn(len(s.script))
		for len(s.underway) > 0 {
			require.NoError(rt, s.deliver(rapid.IntRange(0, len(s.underway)-1).Draw(rt, "arrives")))
		}
		require.NoError(rt, s.err)
		if s.drifts {
			s.run(rt, provider.KindReconcile)
			require.Zero(rt, s.run(rt, provider.KindReconcile).Drift.Found(), "it has nothing left to do")
		}
		is := mirrorState(rt, b.project, "")
		maps.DeleteFunc(is, func(_, state string) bool { return state == "gone" })
		require.Equal(rt, statesOf(s.living.users), is)
	})
}

func (s *story) run(rt *rapid.T, kind string) syncrun.Run {
	if kind == provider.KindReconcile {
		return s.reconcile(rt, syncrun.Order{Force: true})
	}
	return s.runs(rt, kind)
}

// finishes waits for the end of the newest run of a kind.
func (b *testBundle) finishes(t require.TestingT, kind string) (run syncrun.Run) {
	waittest.Until(t, func() bool {
		var err error
		run, err = b.store.Latest(context.Background(), b.projectID, b.provider, kind)
		require.NoError(t, err)
		return run.Finished()
	})
	require.Equal(t, syncrun.Done, run.State, "%+v", run)
	return run
}
