package inbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestEveryEventOfAMessageIsCounted(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	// fill records the outcomes of a message's events; change alters some of them.
	fill := func(t *testing.T, n int, change func(i int, o *inbox.Outcome)) inbox.Tally {
		t.Helper()
		first := stored(t, in)
		all := make([]inbox.Outcome, n)
		for i := range all {
			all[i] = first
			all[i].Ordinal, all[i].EventID, all[i].Type = i, fmt.Sprintf("evt_p_%d", i), "user.created"
			change(i, &all[i])
		}
		record(t, pool, in, all...)
		found, err := in.Tallies(t.Context(), []int64{first.InboxID}, first.ReceivedAt.Add(-time.Second))
		require.NoError(t, err)
		require.Len(t, found, 1)
		return found[first.InboxID]
	}

	t.Run("OneThatFailedFarFromTheEnd", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, inbox.Tally{
			Events: 1500, EventID: new("evt_p_0"),
			Outcomes: []inbox.OutcomeTally{
				{Outcome: inbox.Applied, Events: 1499, EventID: new("evt_p_0")},
				{Outcome: inbox.Failed, Events: 1, Ordinal: 3, EventID: new("evt_p_3"), Reason: new("no such thing")},
			},
			Types: []inbox.TypeTally{{new("user.created"), 1500}},
		}, fill(t, 1500, func(i int, o *inbox.Outcome) {
			if i == 3 {
				o.Outcome, o.Reason = inbox.Failed, "no such thing"
			}
		}))
	})

	t.Run("TheFirstReasonIsNamed", func(t *testing.T) {
		t.Parallel()
		got := fill(t, 30, func(i int, o *inbox.Outcome) {
			if o.Outcome = inbox.Ignored; i >= 20 {
				o.Reason = fmt.Sprintf("reason %d", i)
			}
		})
		require.Equal(t, []inbox.OutcomeTally{{Outcome: inbox.Ignored, Events: 30, Ordinal: 20, EventID: new("evt_p_20"), Reason: new("reason 20")}}, got.Outcomes)
	})

	t.Run("TypesBeyondTheMostFrequentAreANumber", func(t *testing.T) {
		t.Parallel()
		got := fill(t, 100, func(i int, o *inbox.Outcome) {
			if o.Type = "often"; i < 60 {
				o.Type = fmt.Sprintf("type_%02d", i)
			}
		})
		require.Len(t, got.Types, 5)
		require.Equal(t, inbox.TypeTally{new("often"), 40}, got.Types[0])
		require.EqualValues(t, 56, got.OtherTypes)
	})

	t.Run("WhatHasNoOutcomeIsPending", func(t *testing.T) {
		t.Parallel()
		o := stored(t, in)
		found, err := in.Tallies(t.Context(), []int64{o.InboxID}, o.ReceivedAt)
		require.NoError(t, err)
		require.Equal(t, []inbox.OutcomeTally{{Outcome: inbox.Pending, Events: 1}}, found[o.InboxID].Outcomes)
	})
}
