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
	"github.com/authsync/authsync/internal/testkit/rapidtest"
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

	one      sync.Mutex // an act at a time
	script   []func() error
	underway []mirror.Event
	drifts   bool // something has happened that webhooks alone do not heal
	err      error
}

// goOn lets some more happen.
func (s *story) goOn(number int) {
	s.one.Lock()
	defer s.one.Unlock()
	for ; number > 0 && len(s.script) > 0; number-- {
		act := s.script[0]
		s.script = s.script[1:]
		if err := act(); err != nil && s.err == nil {
			s.err = err
		}
	}
}

// tell lets the script happen before, between any two answers to one or two runs, and after them, until all
// webhooks have arrived. If something was lost, a reconcile follows, and another one that finds nothing left
// to do; without that, webhooks alone have to end in the provider's state, whatever the runs have read
// meanwhile. setStep lets a function be called before each answer; settle, if not nil, waits until answers
// no longer lag.
func (s *story) tell(rt rapidtest.T, setStep func(func()), settle func()) {
	s.goOn(rapid.SampledFrom([]int{0, 2, 5, 10, 15}).Draw(rt.T, "before"))
	each := rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(rt.T, "between two answers")
	setStep(func() { s.goOn(each) })
	for _, kind := range rapid.SliceOfN(rapid.SampledFrom([]string{provider.KindBackfill, provider.KindReconcile}), 1, 2).Draw(rt.T, "runs") {
		s.run(rt, kind)
	}
	setStep(nil)
	s.goOn(len(s.script))
	for len(s.underway) > 0 {
		require.NoError(rt, s.deliver(rapid.IntRange(0, len(s.underway)-1).Draw(rt.T, "arrives")))
	}
	require.NoError(rt, s.err)
	if s.drifts {
		if settle != nil {
			settle()
		}
		s.run(rt, provider.KindReconcile)
		drift := s.run(rt, provider.KindReconcile).Drift
		require.Zero(rt, drift.Found(), "it has nothing left to do: %+v", drift)
	}
}

// tale is a story of the users of a living account.
type tale struct {
	*story
	*living

	removed map[string]map[string]any
}

func (s *tale) act(a act) error {
	switch a.kind {
	case change:
		last := any(nil)
		if a.n%2 == 0 {
			last = fmt.Sprint("last ", a.n)
		}
		s.send(a.lost, s.putWith(a.user, fmt.Sprint("n", a.n), last))
	case remove:
		if _, there := s.names()[a.user]; there {
			was, deletion := s.remove(a.user)
			s.removed[a.user] = was
			s.send(a.lost, deletion)
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

func (s *story) send(lost bool, webhooks ...mirror.Event) {
	if lost {
		s.drifts = s.drifts || len(webhooks) > 0
		return
	}
	s.underway = append(s.underway, webhooks...)
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
// provider to backfills and reconciles: see story.tell.
func TestRunsAndWebhooksInterleavedEndInTheProvidersState(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, 0)
	accounts := &current{}
	b.accounts, b.store = accounts, syncrun.NewStore(b.control, accounts)
	b.work(t, b.mirrors, 0)
	rapid.Check(t, func(drawn *rapid.T) {
		rt := rapidtest.Loud(t, drawn)
		_, err := b.project.Exec(context.Background(), `
			TRUNCATE capydb_auth.users, capydb_auth.processed_events, capydb_auth.changes`)
		require.NoError(rt, err)
		s := &tale{&story{testBundle: b}, newLiving(), map[string]map[string]any{}}
		accounts.set(s.living)
		for _, a := range rapid.SliceOfN(acts(), 1, 30).Draw(rt.T, "script") {
			s.script = append(s.script, func() error { return s.act(a) })
		}
		s.send(false, s.put("anchor", "Anchor")) // an empty list deletes nobody
		s.tell(rt, s.setStep, nil)
		is := mirrorState(rt, b.project, "")
		maps.DeleteFunc(is, func(_, state string) bool { return state == "gone" })
		require.Equal(rt, statesOf(s.users), is)
	})
}

func (s *story) run(rt rapidtest.T, kind string) syncrun.Run {
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
