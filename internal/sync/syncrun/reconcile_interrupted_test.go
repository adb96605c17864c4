package syncrun_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
)

// flaky is a mirror whose database is unavailable at every third call.
type flaky struct {
	*mirror.Mirrors

	calls atomic.Int64
}

func (f *flaky) Apply(ctx context.Context, id uuid.UUID, events []mirror.Event) ([]mirror.Result, error) {
	n := f.calls.Add(1)
	if n%3 == 1 {
		return nil, &tenantdb.DelayError{After: time.Millisecond, Err: fmt.Errorf("away before call %d", n)}
	}
	results, err := f.Mirrors.Apply(ctx, id, events)
	if n%3 == 2 { // applied, but nobody knows
		return nil, &tenantdb.DelayError{After: time.Millisecond, Err: fmt.Errorf("away after call %d", n)}
	}
	return results, err
}

// However often it is interrupted, each user who drifted is counted once.
func TestReconcileThatIsInterruptedCountsOnce(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setup(t, 0, 0)
	b.accounts, b.store = l, syncrun.NewStore(b.control, l)
	drifted(t, l, b)
	b.work(t, &flaky{Mirrors: b.mirrors}, time.Nanosecond) // one step a slice
	d := b.reconcile(t, syncrun.Order{}).Drift
	require.Equal(t, []int64{2, 1, 1, 1, 1}, []int64{d.Missing, d.Differing, d.DeletedHere, d.Orphaned, d.Placeholders}, "%+v", d)
	require.Equal(t, []int64{6, 0, 0}, []int64{d.Repaired, d.Failed, d.Left}, "%+v", d)
	want := l.names()
	want["orphaned"], want["unknown"] = "gone", "gone"
	require.Equal(t, want, b.users(t))
}

// A crash of the project's database empties the findings: the walk begins anew,
// and takes nobody it met before for orphaned.
func TestReconcileBeginsAnewAfterACrashOfTheDatabase(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, time.Nanosecond)
	drifted(t, l, b)
	l.step = func(n int) {
		if n == 5 || n == 18 {
			_, err := b.project.Exec(context.Background(), `TRUNCATE capydb_auth.reconcile_findings`) // as recovery does
			require.NoError(t, err)
		}
	}
	run := b.reconcile(t, syncrun.Order{Force: true})
	require.Equal(t, 2, run.Drift.Restarts)
	require.Len(t, run.Report.Notes, 1)
	require.Contains(t, run.Report.Notes[0], "began anew")
	want := l.names()
	want["orphaned"], want["unknown"] = "gone", "gone"
	require.Equal(t, want, b.users(t))
}

// A walk that begins anew does not make the orphaned look small: neither by counting
// users of the mirror twice, nor by counting those whom the run itself has brought.
func TestReconcileThatBeginsAnewHoldsDeletionsBack(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]int{"DuringTheWalk": 16, "AfterIt": 17} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, limit := newLiving(), 60.0
			l.options.Reconcile = &provider.ReconcileOptions{MaxDeletedPercent: &limit}
			b := setupLiving(t, l, 0)
			b.apply(t, l.put("ours", "Ours"))
			for i := range 9 {
				id := fmt.Sprintf("ours%d", i)
				b.apply(t, l.put(id, "Ours"))
				l.remove(id)
			}
			for i := range 30 {
				l.put(fmt.Sprintf("theirs%02d", i), "Theirs")
			}
			l.step = func(n int) {
				if n == crash {
					_, err := b.project.Exec(context.Background(), `TRUNCATE capydb_auth.reconcile_findings`)
					require.NoError(t, err)
				}
			}
			d := b.reconcile(t, syncrun.Order{}).Drift
			require.Equal(t, 1, d.Restarts)
			require.NotNil(t, d.DeletionsBlockedReason)
			require.Contains(t, *d.DeletionsBlockedReason, "9 of 10 users of the mirror were not in the provider's list: 90 %")
			require.Equal(t, "0", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE deleted_at IS NOT NULL`))
		})
	}
}
