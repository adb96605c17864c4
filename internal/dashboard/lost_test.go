package dashboard_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// values asks the API what lost.
func (s *site) values(t *testing.T, id string) map[string][]wire.LostValue {
	t.Helper()
	c := client.New(s.URL, config.Secret(s.Key(t, project.KeyInput{Name: "of a program"})))
	defer c.Close()
	found, err := c.Values(t.Context(), "shop", "user", id)
	require.NoError(t, err)
	lost := map[string][]wire.LostValue{}
	for _, column := range found.Columns {
		require.NotNil(t, column.Lost)
		lost[column.Column] = column.Lost
	}
	return lost
}

// The value of a column, and what it won against: what it replaced, and what came late.
func TestARecordShowsWhatLost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	send := func(n, minute int, name string, more map[string]any) {
		t.Helper()
		set := map[string]any{"first_name": name}
		maps.Copy(set, more)
		s.send(t, provider.Sample{Type: "user.updated", UserID: "user_1", At: at.Add(time.Duration(minute) * time.Minute), Set: set})
		s.settled(t, n)
	}
	send(1, 10, "Ada", nil)
	send(2, 20, hostile, nil)
	send(3, 5, "Too late", nil)
	send(4, 6, "Too late", nil)
	send(5, 30, "Augusta", map[string]any{"last_name": strings.Repeat("é", 2000)})
	send(6, 31, "Augusta", map[string]any{"last_name": nil})

	lost := s.values(t, "user_1")
	var names []string
	for _, l := range lost["first_name"] {
		names = append(names, *l.Value+" "+l.Event.Outcome)
	}
	require.Equal(t, []string{"Too late stale", hostile + " applied", "Ada applied"}, names, "newest event first, each value once")
	require.Len(t, *lost["last_name"][0].Value, 1024+len("…"), "a long value is cut")
	require.Empty(t, lost["deleted_at"], "all agree")
	require.Contains(t, lost, "raw")
	require.Empty(t, lost["raw"])

	page := s.get(t, s.path("records", "user", "user_1"), s.all)
	require.Contains(t, page.words, "3 lost against it")
	require.Contains(t, page.words, "Too late")
	require.Contains(t, page.words, "All events of the record that the inbox has are read for this.")
	require.Contains(t, page.links(s.path("events")+"/"), s.path("events", lost["first_name"][0].Event.ID))

	// What cannot be decoded any more has no values.
	s.exec(t, `UPDATE authsync.inbox SET body = '\x7b'`)
	require.Empty(t, s.values(t, "user_1")["first_name"])
	require.Equal(t, http.StatusOK, s.get(t, s.path("records", "user", "user_1"), s.all).status)
}

// However many events a record has, the newest twenty are read.
func TestOnlyTheNewestEventsAreReadForWhatLost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	at := time.Now().Add(-time.Hour)
	for n := range 22 {
		s.send(t, provider.Sample{Type: "user.updated", UserID: "user_1", At: at.Add(time.Duration(n) * time.Minute), Set: map[string]any{"first_name": "name-" + string(rune('a'+n))}})
		s.settled(t, n+1)
	}
	lost := s.values(t, "user_1")["first_name"]
	require.Len(t, lost, 19)
	require.Equal(t, "name-c", *lost[18].Value)
	require.Contains(t, s.get(t, s.path("records", "user", "user_1"), s.all).words, "Only the newest 20 events of the record are read for this.")
}
