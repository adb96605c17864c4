package inbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// stored appends a delivery and returns an outcome for it to fill in.
func stored(t *testing.T, in *inbox.Inbox, change ...func(*inbox.Message)) inbox.Outcome {
	t.Helper()
	d := delivery(change...)
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = now()
	}
	id, err := in.Append(t.Context(), d)
	require.NoError(t, err)
	return inbox.Outcome{
		InboxID: id, ReceivedAt: d.ReceivedAt, ProjectID: d.ProjectID, EventID: fmt.Sprintf("evt_%d", id),
		Type: "user.updated", UserID: "auth0|1", EventTime: now().Add(-time.Minute), Outcome: inbox.Applied,
	}
}

func record(t *testing.T, pool *pgxpool.Pool, in *inbox.Inbox, outcomes ...inbox.Outcome) {
	t.Helper()
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return in.RecordOutcomes(t.Context(), tx, outcomes) }))
}

func find(t *testing.T, in *inbox.Inbox, f inbox.Filter) (found []string) {
	t.Helper()
	page, next, err := in.Events(t.Context(), f, "", 100)
	require.NoError(t, err)
	require.Empty(t, next)
	for _, e := range page {
		found = append(found, fmt.Sprintf("%d-%d", e.InboxID, e.Ordinal))
	}
	return found
}

func TestEventShowsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	o := stored(t, in, func(d *inbox.Message) { d.MessageID = "msg_1" })

	e, err := in.Event(t.Context(), o.InboxID, 0)
	require.NoError(t, err)
	require.Equal(t, inbox.Event{
		InboxID: o.InboxID, ProjectID: o.ProjectID, Provider: "auth0", Outcome: inbox.Pending,
		ReceivedAt: now(), MessageID: new("msg_1"),
	}, e)

	exec(t, pool, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, o.ProjectID)
	o.Reason = "a note"
	record(t, pool, in, o)
	e, err = in.Event(t.Context(), o.InboxID, 0)
	require.NoError(t, err)
	require.Equal(t, inbox.Event{
		InboxID: o.InboxID, ProjectID: o.ProjectID, Project: new("shop"), Provider: "auth0", EventID: &o.EventID,
		Type: new("user.updated"), UserID: new("auth0|1"), RecordType: new("user"), RecordID: new("auth0|1"),
		EventTime: &o.EventTime, Outcome: inbox.Applied, Reason: new("a note"),
		ReceivedAt: now(), AppliedAt: new(now()), MessageID: new("msg_1"),
	}, e)

	_, err = in.Event(t.Context(), o.InboxID, 1)
	require.ErrorIs(t, err, inbox.ErrNoEvent)
	_, err = in.Body(t.Context(), o.InboxID+1)
	require.ErrorIs(t, err, inbox.ErrNoMessage)
}

func TestOutcomeIsReplacedOnlyIfItHadFailed(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	for _, tc := range []struct{ first, second, want string }{
		{inbox.Applied, inbox.Duplicate, inbox.Applied},
		{inbox.Stale, inbox.Failed, inbox.Stale},
		{inbox.Ignored, inbox.Applied, inbox.Ignored},
		{inbox.Failed, inbox.Applied, inbox.Applied},
		{inbox.Failed, inbox.Failed, inbox.Failed},
	} {
		t.Run(tc.first+" then "+tc.second, func(t *testing.T) {
			t.Parallel()
			o := stored(t, in)
			o.Outcome, o.Reason = tc.first, "first"
			record(t, pool, in, o)
			o.Outcome, o.Reason = tc.second, "second"
			record(t, pool, in, o)
			e, err := in.Event(t.Context(), o.InboxID, 0)
			require.NoError(t, err)
			require.Equal(t, tc.want, e.Outcome)
			require.Equal(t, tc.want == inbox.Failed, e.AppliedAt == nil, "final outcomes have a time, others none")
			wantReason := "first"
			if tc.first == inbox.Failed {
				wantReason = "second"
			}
			require.Equal(t, wantReason, *e.Reason)
		})
	}
}

func TestOutcomesTakeWhateverAnEventSays(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	o := stored(t, in)
	o.EventID, o.UserID, o.Type, o.Reason = "e\x00\xff", "", strings.Repeat("t", 2000), "r\x00"
	o.EventTime = time.Time{}
	record(t, pool, in, o)
	record(t, pool, in) // none is fine
	e, err := in.Event(t.Context(), o.InboxID, 0)
	require.NoError(t, err)
	require.Equal(t, "e\uFFFD\uFFFD", *e.EventID)
	require.Nil(t, e.UserID)
	require.Nil(t, e.EventTime)
	require.Equal(t, "r\uFFFD", *e.Reason)
}

// New outcomes take another way into the table than others, where they are many. What is there is the same.
func TestNewOutcomesAreRecordedAsOthersAre(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{Now: now})
	var fresh, others []inbox.Outcome
	for i := range 24 {
		o := stored(t, in)
		switch i % 4 {
		case 0:
			o.Outcome, o.Reason = inbox.Failed, "r\x00"
		case 1:
			o.Outcome, o.EventTime, o.EventID, o.UserID, o.Type = inbox.Ignored, time.Time{}, "", "", ""
		case 2:
			o.RecordType, o.RecordID, o.Ordinal = "session", "s\x00", 7
		}
		fresh = append(fresh, o)
		o.InboxID = stored(t, in).InboxID
		others = append(others, o)
	}
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return in.RecordNewOutcomes(t.Context(), tx, fresh) }))
	record(t, pool, in, others...)
	rows := func(outcomes []inbox.Outcome) (found []string) {
		for _, o := range outcomes {
			var row string
			require.NoError(t, pool.QueryRow(t.Context(), `
				SELECT (to_jsonb(e) - 'inbox_id' - 'recorded_at')::text FROM authsync.event_outcomes AS e WHERE inbox_id = $1`, o.InboxID).Scan(&row))
			found = append(found, row)
		}
		return found
	}
	require.Equal(t, rows(others), rows(fresh))

	again := []inbox.Outcome{fresh[0]}
	for range 20 {
		again = append(again, stored(t, in))
	}
	err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return in.RecordNewOutcomes(t.Context(), tx, again) })
	require.ErrorIs(t, err, inbox.ErrRecorded)
	var recorded int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.event_outcomes`).Scan(&recorded))
	require.Equal(t, 48, recorded, "all or none")
}

func TestFilterChoosesEvents(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	other := uuid.New()

	a := stored(t, in)
	b := stored(t, in, func(d *inbox.Message) { d.Provider, d.ReceivedAt = "clerk", now().Add(time.Minute) })
	c := stored(t, in, func(d *inbox.Message) { d.ProjectID = other })
	pending := stored(t, in)
	second := a
	second.Ordinal, second.UserID, second.EventID = 1, "auth0|2", "evt_second"
	b.Outcome, b.Type = inbox.Failed, "user.deleted"
	record(t, pool, in, a, b, c, second)

	name := func(o inbox.Outcome) string { return fmt.Sprintf("%d-%d", o.InboxID, o.Ordinal) }
	all := []string{name(pending), name(c), name(b), name(second), name(a)}
	for what, tc := range map[string]struct {
		filter inbox.Filter
		want   []string
	}{
		"Nothing":  {inbox.Filter{}, all},
		"Project":  {inbox.Filter{ProjectID: other}, []string{name(c)}},
		"Provider": {inbox.Filter{Provider: "clerk"}, []string{name(b)}},
		"EventID":  {inbox.Filter{EventID: "evt_second"}, []string{name(second)}},
		"Type":     {inbox.Filter{Type: "user.deleted"}, []string{name(b)}},
		"User":     {inbox.Filter{ProjectID: a.ProjectID, UserID: "auth0|1"}, []string{name(b), name(a)}},
		"Failed":   {inbox.Filter{Outcome: inbox.Failed}, []string{name(b)}},
		"Applied":  {inbox.Filter{Outcome: inbox.Applied}, []string{name(c), name(second), name(a)}},
		"Pending":  {inbox.Filter{ProjectID: a.ProjectID, Outcome: inbox.Pending}, []string{name(pending)}},
		"From":     {inbox.Filter{From: now().Add(time.Minute)}, []string{name(b)}},
		"To":       {inbox.Filter{To: now().Add(time.Minute)}, []string{name(pending), name(c), name(second), name(a)}},
		"IDs":      {inbox.Filter{InboxIDs: []int64{a.InboxID, c.InboxID}}, []string{name(c), name(second), name(a)}},
		"NoIDs":    {inbox.Filter{InboxIDs: []int64{}}, nil},
		"Several":  {inbox.Filter{ProjectID: a.ProjectID, Outcome: inbox.Applied, UserID: "auth0|2"}, []string{name(second)}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, find(t, in, tc.filter))
		})
	}

	t.Run("PagesShowEveryEventOnce", func(t *testing.T) {
		t.Parallel()
		for limit := 1; limit <= len(all)+1; limit++ {
			var got []string
			cursor := ""
			for {
				page, next, err := in.Events(t.Context(), inbox.Filter{}, cursor, limit)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), limit)
				for _, e := range page {
					got = append(got, fmt.Sprintf("%d-%d", e.InboxID, e.Ordinal))
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			require.Equal(t, all, got)
		}
		for _, cursor := range []string{"x", "1", "1-x", "-"} {
			_, _, err := in.Events(t.Context(), inbox.Filter{}, cursor, 1)
			require.ErrorIs(t, err, fault.ErrBadCursor)
		}
	})

	t.Run("UserEvents", func(t *testing.T) {
		t.Parallel()
		got, err := in.UserEvents(t.Context(), a.ProjectID, "auth0|1", 1)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, b.InboxID, got[0].InboxID)
	})
}

// The latest events must come from the ends of indexes, whatever the inbox holds.
func TestLatestEventsAreReadFromIndexes(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	for day := range 4 {
		require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now().AddDate(0, 0, -day)))
	}
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT ('00000000-0000-0000-0000-00000000000' || n % 10)::uuid, 'auth0', $1::timestamptz + n * interval '12 s', '{}', 'x'
			FROM generate_series(1, 20000) AS n
			RETURNING id, project_id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, user_id, outcome)
		SELECT id, 0, received_at, project_id, 'evt_' || id, 'user_' || id % 1000, 'applied' FROM i`, now().AddDate(0, 0, -3))
	exec(t, pool, `ANALYZE authsync.inbox, authsync.event_outcomes`)

	for name, condition := range map[string]string{
		"All":     `true`,
		"Project": `project_id = '00000000-0000-0000-0000-000000000003'`,
		"EventID": `event_id = 'evt_77'`,
		"User":    `project_id = '00000000-0000-0000-0000-000000000003' AND user_id = 'user_3'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := pool.Query(t.Context(), `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
				SELECT * FROM authsync.events WHERE `+condition+` ORDER BY inbox_id DESC LIMIT 20`)
			require.NoError(t, err)
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			text := strings.Join(plan, "\n")
			for line := range strings.Lines(text) {
				if strings.Contains(line, "Seq Scan") && !strings.Contains(line, "never executed") {
					require.Regexp(t, `Seq Scan on (projects|inbox_default|event_outcomes_default|\w+ [ie]_?\d* \(actual rows=0)`, line, text)
				}
			}
		})
	}
}

// The events of a record are those about itself, neither those of its memberships nor those of other projects.
func TestNeighboursAreOfTheSameRecord(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	project := uuid.New()
	ofProject := func(d *inbox.Message) { d.ProjectID = project }
	first, membership, foreign, second := stored(t, in, ofProject), stored(t, in, ofProject), stored(t, in), stored(t, in, ofProject)
	membership.RecordType, membership.RecordID = "membership", "org_1/auth0|1"
	later := membership
	later.Ordinal = 1
	third := second
	third.Ordinal = 1
	unknown := stored(t, in, ofProject)
	record(t, pool, in, first, membership, later, foreign, second, third)

	ref := func(o inbox.Outcome) *inbox.EventRef { return &inbox.EventRef{InboxID: o.InboxID, Ordinal: o.Ordinal} }
	for _, tc := range []struct {
		of             inbox.Outcome
		previous, next *inbox.EventRef
	}{
		{first, nil, ref(second)},
		{second, ref(first), ref(third)},
		{third, ref(second), nil},
		{membership, nil, ref(later)},
		{later, ref(membership), nil},
		{foreign, nil, nil},
		{unknown, nil, nil},
	} {
		e, err := in.Event(t.Context(), tc.of.InboxID, tc.of.Ordinal)
		require.NoError(t, err)
		previous, next, err := in.Neighbours(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, tc.previous, previous, "before %d.%d", tc.of.InboxID, tc.of.Ordinal)
		require.Equal(t, tc.next, next, "after %d.%d", tc.of.InboxID, tc.of.Ordinal)
	}
}
