package syncrun_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// drifted makes an account and a mirror that differ in every way there is.
func drifted(t *testing.T, l *living, b *testBundle) {
	t.Helper()
	for i := range 20 {
		b.apply(t, l.put(fmt.Sprintf("equal%02d", i), "Same"))
	}
	l.put("missing", "Missing")
	b.apply(t, l.put("differing", "Old"))
	l.silently("differing", "New")
	b.apply(t, l.put("restored", "Restored"))
	was, deletion := l.remove("restored")
	b.apply(t, deletion)
	l.restore(was)
	b.apply(t, l.put("orphaned", "Orphaned"))
	l.remove("orphaned")
	l.put("awaited", "Awaited")
	for _, id := range []string{"awaited", "unknown"} {
		_, err := b.project.Exec(t.Context(), `SELECT capydb_auth.ensure_user($1)`, id)
		require.NoError(t, err)
	}
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	drifted(t, l, b)
	before, changes := b.users(t), b.mirrored(t)

	run := b.reconcile(t, syncrun.Order{DryRun: true})
	d := run.Drift
	require.Equal(t, []int64{2, 1, 1, 1, 1}, []int64{d.Missing, d.Differing, d.DeletedHere, d.Orphaned, d.Placeholders}, "%+v", d)
	require.Equal(t, map[string]int64{"first_name": 1, "raw": 1, "deleted_at": 1}, d.Columns)
	require.Equal(t, []int64{0, 0, 6}, []int64{d.Repaired, d.Failed, d.Left})
	require.Equal(t, before, b.users(t), "a dry run changes nothing")
	require.Equal(t, changes, b.mirrored(t))

	run = b.reconcile(t, syncrun.Order{})
	d = run.Drift
	require.Equal(t, []int64{2, 1, 1, 1, 1}, []int64{d.Missing, d.Differing, d.DeletedHere, d.Orphaned, d.Placeholders}, "%+v", d)
	require.Equal(t, []int64{6, 0, 0}, []int64{d.Repaired, d.Failed, d.Left}, "%+v", d)
	require.Nil(t, d.DeletionsBlockedReason)
	want := l.names()
	want["orphaned"], want["unknown"] = "gone", "gone"
	require.Equal(t, want, b.users(t))
	require.Equal(t, []mirror.Drifted{
		{RecordID: "awaited", Finding: "missing", Columns: []string{}, State: "repaired"},
		{RecordID: "differing", Finding: "differing", Columns: []string{"first_name", "raw"}, State: "repaired"},
	}, d.Users[:2])

	run = b.reconcile(t, syncrun.Order{})
	require.Zero(t, run.Drift.Found(), "%+v", run.Drift)
	waittest.Until(t, func() bool {
		return one(t, b.project, `SELECT count(*)::text FROM capydb_auth.reconcile_findings`) == "0"
	}, "the findings are forgotten")
}

// A user who signs up, or changes, while it runs is neither orphaned nor set back.
func TestReconcileLeavesWhatHappensMeanwhile(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	b.apply(t, l.put("a", "A"), l.put("m", "M"))
	l.step = func(n int) {
		switch n {
		case 1: // the only page: it shows neither what follows
			l.listed = func(id string) bool { return id != "new" }
			b.apply(t, l.put("new", "New"))
		case 2: // behind the page, before its users are compared or after
			b.apply(t, l.put("m", "Newer"))
		}
	}
	run := b.reconcile(t, syncrun.Order{Force: true})
	require.Zero(t, run.Drift.Orphaned)
	require.Equal(t, map[string]string{"a": "A", "m": "Newer", "new": "New"}, b.users(t))
	require.NotContains(t, l.asked, "new")
}

// The list of a provider may lag behind: what it says alone never deletes or sets back.
func TestReconcileAsksAboutUsersThatTheListDoesNotDecide(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	for i := range 30 {
		b.apply(t, l.put(fmt.Sprintf("u%02d", i), "Same"))
	}
	l.listed = func(id string) bool { return id != "u07" }
	l.count = func() int64 { return 29 }
	run := b.reconcile(t, syncrun.Order{})
	require.Zero(t, run.Drift.Found(), "%+v", run.Drift)
	require.Equal(t, []string{"u07"}, l.asked)

	// A page that is not whole decides on nobody but the missing.
	l.listed, l.count, l.asked, l.partial = nil, nil, nil, true
	l.silently("u03", "Other")
	l.put("u99", "Missing")
	run = b.reconcile(t, syncrun.Order{})
	require.Equal(t, []int64{1, 1, 2}, []int64{run.Drift.Missing, run.Drift.Differing, run.Drift.Repaired})
	require.Equal(t, []string{"u03"}, l.asked)
	require.Equal(t, l.names(), b.users(t))
}

func TestReconcileHoldsDeletionsBack(t *testing.T) {
	t.Parallel()
	none, five, half, all := 0.0, 5.0, 50.0, 100.0
	for name, c := range map[string]struct {
		remove  int
		count   func() int64
		options *provider.ReconcileOptions
		order   syncrun.Order
		says    string // empty: they are deleted
	}{
		"TooMany":         {11, nil, nil, syncrun.Order{}, "11 of 40 users of the mirror were not in the provider's list: 27.5 %, where the limit is 5 %"},
		"Few":             {2, nil, nil, syncrun.Order{}, ""},
		"FewInNumber":     {10, nil, nil, syncrun.Order{}, ""},
		"FewByOption":     {3, nil, &provider.ReconcileOptions{MaxDeletedPercent: &five}, syncrun.Order{}, "3 of 40 users of the mirror were not in the provider's list: 7.5 %, where the limit is 5 %"},
		"NoneByOption":    {1, nil, &provider.ReconcileOptions{MaxDeletedPercent: &none}, syncrun.Order{}, "1 of 40 users of the mirror were not in the provider's list: 2.5 %, where the limit is 0 %"},
		"Forced":          {30, nil, nil, syncrun.Order{Force: true}, ""},
		"AllowedByOption": {20, nil, &provider.ReconcileOptions{MaxDeletedPercent: &half}, syncrun.Order{}, ""},
		"EmptyList":       {40, nil, &provider.ReconcileOptions{MaxDeletedPercent: &all}, syncrun.Order{Force: true}, "the provider listed no user at all"},
		"ShortList":       {2, func() int64 { return 39 }, nil, syncrun.Order{Force: true}, "it has 39 users but listed 38"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiving()
			l.options.Reconcile, l.count = c.options, c.count
			b := setupLiving(t, l, 0)
			for i := range 40 {
				b.apply(t, l.put(fmt.Sprintf("u%02d", i), "Same"))
			}
			for i := range c.remove {
				l.remove(fmt.Sprintf("u%02d", i))
			}
			d := b.reconcile(t, c.order).Drift
			require.Equal(t, int64(c.remove), d.Orphaned)
			deleted := one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE deleted_at IS NOT NULL`)
			if c.says == "" {
				require.Nil(t, d.DeletionsBlockedReason)
				require.Equal(t, strconv.Itoa(c.remove), deleted)
				require.Equal(t, int64(c.remove), d.Repaired)
				return
			}
			require.Contains(t, *d.DeletionsBlockedReason, c.says)
			require.Equal(t, "0", deleted)
			require.Equal(t, int64(c.remove), d.Left)
			require.Empty(t, l.asked, "nobody is asked about")
		})
	}
}

// In a small mirror one user is a large share: what is proven user by user is done.
func TestReconcileDeletesInASmallMirror(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ users, remove, others, deleted int }{
		"OneOfThree":                    {3, 1, 0, 1},
		"TwoOfThree":                    {3, 2, 0, 2},
		"OneOfTwo":                      {2, 1, 0, 1},
		"TenOfEleven":                   {11, 10, 0, 10},
		"ElevenOfTwelve":                {12, 11, 0, 0},
		"AllOfThreeAndTheListHasOthers": {3, 3, 5, 0}, // as by the key of another instance
		"TheLastOne":                    {1, 1, 0, 0}, // an empty list proves nothing
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiving()
			b := setupLiving(t, l, 0)
			for i := range c.users {
				b.apply(t, l.put(fmt.Sprintf("u%02d", i), "Same"))
			}
			for i := range c.others {
				l.put(fmt.Sprintf("other%d", i), "Other")
			}
			for i := range c.remove {
				l.remove(fmt.Sprintf("u%02d", i))
			}
			d := b.reconcile(t, syncrun.Order{}).Drift
			require.Equal(t, int64(c.remove), d.Orphaned)
			require.Equal(t, strconv.Itoa(c.deleted), one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE deleted_at IS NOT NULL`))
			require.Equal(t, c.deleted == 0, d.DeletionsBlockedReason != nil)
		})
	}
}

// Neither does a list that is not to be trusted give placeholders up.
func TestReconcileHoldsPlaceholdersBack(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	_, err := b.project.Exec(t.Context(), `SELECT capydb_auth.ensure_user('awaited')`)
	require.NoError(t, err)
	d := b.reconcile(t, syncrun.Order{Force: true}).Drift
	require.Contains(t, *d.DeletionsBlockedReason, "listed no user at all")
	require.Equal(t, []int64{1, 1}, []int64{d.Placeholders, d.Left})
	require.Equal(t, map[string]string{"awaited": "placeholder"}, b.users(t))

	l.put("other", "Other")
	d = b.reconcile(t, syncrun.Order{}).Drift
	require.Nil(t, d.DeletionsBlockedReason)
	require.Equal(t, map[string]string{"awaited": "gone", "other": "Other"}, b.users(t))
}

// The key of another instance lists other users, and knows none of ours.
func TestReconcileByTheKeyOfAnotherInstanceDeletesNobody(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	for i := range 10 {
		id := fmt.Sprintf("ours%d", i)
		b.apply(t, l.put(id, "Ours"))
		l.remove(id)
	}
	for i := range 10 {
		l.put(fmt.Sprintf("theirs%d", i), "Theirs")
	}
	d := b.reconcile(t, syncrun.Order{}).Drift
	require.Contains(t, *d.DeletionsBlockedReason, "10 of 10 users of the mirror were not in the provider's list: 100 %")
	require.Contains(t, *d.DeletionsBlockedReason, "is the key that of this instance?")
	require.Equal(t, int64(10), d.Left)
	require.Equal(t, "0", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE deleted_at IS NOT NULL`))
	require.Empty(t, l.asked)
}

// Only who was not in the list is deleted: the bounds are about the list.
func TestReconcileLeavesWhoIsGoneAfterTheList(t *testing.T) {
	t.Parallel()
	l := newLiving()
	l.partial = true // so that all who differ are asked about
	b := setupLiving(t, l, 0)
	b.apply(t, l.put("a", "Old"), l.put("b", "Old"))
	l.silently("a", "New")
	l.silently("b", "New")
	l.step = func(int) {
		if at := one(t, b.control, `SELECT phase FROM authsync.sync_runs`); at == syncrun.Confirm {
			l.remove("b")
		}
	}
	d := b.reconcile(t, syncrun.Order{Force: true}).Drift
	require.Equal(t, []int64{1, 0, 1}, []int64{d.Differing, d.Orphaned, d.Repaired}, "%+v", d)
	require.Equal(t, map[string]string{"a": "New", "b": "Old"}, b.users(t))

	d = b.reconcile(t, syncrun.Order{Force: true}).Drift
	require.Equal(t, []int64{1, 1}, []int64{d.Orphaned, d.Repaired}, "the next one finds out")
	require.Equal(t, map[string]string{"a": "New", "b": "gone"}, b.users(t))
}

// A field that is gone at the provider is cleared, whether it is null there or absent.
func TestReconcileClearsWhatIsGone(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	b.apply(t, l.putWith("null", "A", "Last"), l.putWith("absent", "B", "Last"))
	l.edit("null", func(user map[string]any) { user["last_name"] = nil })
	l.edit("absent", func(user map[string]any) { delete(user, "last_name") })
	d := b.reconcile(t, syncrun.Order{}).Drift
	require.Equal(t, map[string]int64{"last_name": 2, "raw": 2}, d.Columns)
	require.Equal(t, "2", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE last_name IS NULL AND raw ->> 'last_name' IS NULL`))
}

func TestReconcileLeavesOtherProvidersAlone(t *testing.T) {
	t.Parallel()
	l := newLiving()
	l.company = true
	b := setupLiving(t, l, 0)
	b.apply(t, l.put("ours", "Ours"))
	other := l.put("theirs", "Theirs")
	l.remove("theirs")
	other.Provider = provider.Auth0
	b.apply(t, other)
	_, err := b.project.Exec(t.Context(), `SELECT capydb_auth.ensure_user('auth0|1')`)
	require.NoError(t, err)
	run := b.reconcile(t, syncrun.Order{Force: true})
	require.Zero(t, run.Drift.Found(), "%+v", run.Drift)
	require.Equal(t, map[string]string{"ours": "Ours", "theirs": "Theirs", "auth0|1": "placeholder"}, b.users(t))
}

// One user who cannot be read, or not be written, is reported, and the others go in.
func TestReconcileReportsWhoCannotBeRepaired(t *testing.T) {
	t.Parallel()
	l := newLiving()
	b := setupLiving(t, l, 0)
	for _, id := range []string{"a", "b", "c"} {
		b.apply(t, l.put(id, "Old"))
	}
	l.mu.Lock()
	l.users["a"]["unreadable"] = true
	l.mu.Unlock()
	l.partial = true
	for _, id := range []string{"a", "b", "c"} {
		l.silently(id, "New "+id)
	}
	_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_b CHECK (first_name <> 'New b')`)
	require.NoError(t, err)
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, []int64{3, 1, 2, 0}, []int64{run.Drift.Differing, run.Drift.Repaired, run.Drift.Failed, run.Drift.Left}, "%+v", run.Drift)
	require.Equal(t, int64(2), run.Failed)
	var places []string
	for _, bad := range run.Report.Bad {
		places = append(places, bad.Place)
	}
	slices.Sort(places)
	require.Equal(t, []string{"user a", "user b"}, places)
	require.Equal(t, map[string]string{"a": "Old", "b": "Old", "c": "New c"}, b.users(t))
}
