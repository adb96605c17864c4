package retention_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/retention"
)

const day = 24 * time.Hour

func defaults() retention.Defaults {
	return retention.Defaults{Inbox: 30 * day, Ledger: 30 * day, Changes: 30 * day, Deliveries: 90 * day}
}

func TestEffective(t *testing.T) {
	t.Parallel()
	forever, short := defaults(), defaults()
	forever.Inbox, short.Inbox = 0, 36*time.Hour
	short.Ledger = day
	cases := map[string]struct {
		settings retention.Settings
		defaults retention.Defaults
		part     retention.Part
		days     int
		source   string
	}{
		"TheServers":                {retention.Settings{}, defaults(), retention.Deliveries, 90, retention.FromServer},
		"TheProjects":               {retention.Settings{Changes: new(3)}, defaults(), retention.Changes, 3, retention.FromProject},
		"PartsOfADay":               {retention.Settings{}, short, retention.Inbox, 2, retention.FromServer},
		"LedgerAsTheServer":         {retention.Settings{Inbox: new(5)}, defaults(), retention.Ledger, 30, retention.FromServer},
		"LedgerOfItsOwn":            {retention.Settings{Inbox: new(5), Ledger: new(10)}, defaults(), retention.Ledger, 10, retention.FromProject},
		"LedgerAsLongAsTheInbox":    {retention.Settings{Inbox: new(60)}, defaults(), retention.Ledger, 60, retention.Raised},
		"LedgerAsLongAsRetries":     {retention.Settings{}, short, retention.Ledger, 7, retention.Raised},
		"LedgerForeverAsTheInbox":   {retention.Settings{}, forever, retention.Ledger, 0, retention.Raised},
		"LedgerAfterTheInboxIsLess": {retention.Settings{Inbox: new(40), Ledger: new(35)}, defaults(), retention.Ledger, 40, retention.Raised},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.settings.Effective(c.defaults, c.part)
			require.Equal(t, c.days, got.Days())
			require.Equal(t, c.source, got.Source)
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	forever := defaults()
	forever.Inbox = 0
	cases := map[string]struct {
		settings retention.Settings
		defaults retention.Defaults
		field    string
		message  string
	}{
		"Nothing":             {retention.Settings{}, defaults(), "", ""},
		"AllOfThem":           {retention.Settings{Inbox: new(7), Ledger: new(7), Changes: new(1), Deliveries: new(3650)}, defaults(), "", ""},
		"NoDay":               {retention.Settings{Inbox: new(0)}, defaults(), "keep_days.inbox", "must be 1 to 400 days"},
		"TooLongInTheInbox":   {retention.Settings{Inbox: new(401)}, defaults(), "keep_days.inbox", "must be 1 to 400 days"},
		"TooLong":             {retention.Settings{Changes: new(3651)}, defaults(), "keep_days.changes", "must be 1 to 3650 days"},
		"ShorterThanTheInbox": {retention.Settings{Ledger: new(29)}, defaults(), "keep_days.ledger", "must be at least 30, because a message can be replayed from the inbox for 30 days"},
		"ShorterThanRetries":  {retention.Settings{Inbox: new(2), Ledger: new(6)}, defaults(), "keep_days.ledger", "must be at least 7"},
		"LedgerOfAll":         {retention.Settings{Ledger: new(100)}, forever, "keep_days.ledger", "messages are kept forever"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.settings.Check(c.defaults)
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			coded, is := fault.As(err)
			require.True(t, is)
			require.Equal(t, c.field, coded.Field)
			require.ErrorContains(t, err, c.message)
		})
	}
}

// Whatever is set and configured, a message that the inbox has finds its event in the ledger.
func TestLedgerOutlivesWhatCanBeRepeated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		days := func(name string) *int {
			return rapid.Ptr(rapid.IntRange(1, 400), true).Draw(rt, name)
		}
		hours := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 2000).Draw(rt, name)) * time.Hour
		}
		s := retention.Settings{Inbox: days("inbox"), Ledger: days("ledger")}
		d := retention.Defaults{Inbox: hours("default inbox"), Ledger: hours("default ledger")}
		inbox, ledger := s.Effective(d, retention.Inbox).Keep, s.Effective(d, retention.Ledger).Keep
		if ledger != 0 {
			require.NotZero(rt, inbox, "messages forever, the ledger not")
			require.GreaterOrEqual(rt, ledger, inbox)
			require.GreaterOrEqual(rt, ledger, retention.RetryDays*day)
		}
		if s.Check(d) == nil && s.Ledger != nil {
			require.Equal(rt, retention.FromProject, s.Effective(d, retention.Ledger).Source, "what is accepted is kept to")
		}
	})
}
