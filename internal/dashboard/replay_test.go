package dashboard_test

import (
	"encoding/json"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// replayAPI has a project with one event, and notes by what events were asked for.
type replayAPI struct {
	listed   url.Values
	replayed []map[string]any
}

func (a *replayAPI) ServeAs(w http.ResponseWriter, r *http.Request, _ project.Key) {
	answer := `{"data": []}`
	switch {
	case r.URL.Path == "/projects/shop":
		answer = `{"id": "shop", "name": "shop"}`
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/events"):
		a.listed = r.URL.Query()
		answer = `{"data": [{"id": "7.0", "outcome": "failed"}]}`
	case r.Method == http.MethodPost:
		var order map[string]any
		if json.NewDecoder(r.Body).Decode(&order) != nil {
			order = nil // which no test expects
		}
		a.replayed = append(a.replayed, order)
		answer = `{"matched": 1}`
	}
	_, _ = w.Write([]byte(answer))
}

var (
	replayLink  = regexp.MustCompile(`href="(/projects/shop/replay[^"]*)"`)
	filterField = regexp.MustCompile(`<(?:select|input) id="[^"]*" name="([^"]*)"`)
	hidden      = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// Whatever the list of events is filtered by, a replay of it counts, shows and takes up the same.
func TestAReplayIsOfTheEventsThatTheListHas(t *testing.T) {
	t.Parallel()
	filter := url.Values{
		"outcome": {"failed"}, "provider": {"clerk"}, "type": {"user.created"}, "user_id": {"user 1&2"}, "record_type": {"user"},
		"record_id": {`user"'<7`}, "event_id": {"msg_1"}, "since": {"2026-05-04T10:20:30Z"}, "until": {"2026-05-04T10:20:30+02:00"},
	}
	order := map[string]any{}
	for name := range filter {
		order[name] = filter.Get(name)
	}

	api := &replayAPI{}
	b := setupWith(t, "", api)
	cookie := b.session(t)
	list := b.get(t, "/projects/shop/events?"+filter.Encode()+"&cursor=x&limit=3", cookie)
	require.Equal(t, http.StatusOK, list.Code, list.Body.String())
	api.listed.Del("cursor")
	api.listed.Del("limit")
	require.Equal(t, filter, api.listed)
	var fields []string
	for _, field := range filterField.FindAllStringSubmatch(list.Body.String(), -1) {
		fields = append(fields, field[1])
	}
	fields = slices.DeleteFunc(fields, func(name string) bool { return name == "id_contains" }) // with which nothing is replayed
	require.ElementsMatch(t, slices.Collect(maps.Keys(filter)), fields, "these are all that there are")

	link := replayLink.FindStringSubmatch(list.Body.String())
	require.NotNil(t, link, list.Body.String())
	ask := b.get(t, html.UnescapeString(link[1]), cookie)
	require.Equal(t, http.StatusOK, ask.Code, ask.Body.String())
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(ask.Body.String(), -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	sent := b.sendForm(t.Context(), "/projects/shop/replay", form, cookie)
	require.Equal(t, http.StatusSeeOther, sent.Code, sent.Body.String())
	require.Len(t, api.replayed, 2)
	require.Equal(t, order, api.replayed[1])
	counted := api.replayed[0]
	require.Equal(t, true, counted["dry_run"])
	delete(counted, "dry_run")
	require.Equal(t, order, counted)

	then, err := url.Parse(sent.Header().Get("Location"))
	require.NoError(t, err)
	require.Equal(t, filter, then.Query())
}

func TestEventsAreReplayed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	replays := func() (n int) {
		require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox_pending`).Scan(&n))
		return n
	}
	before := s.get(t, s.event(t, "user.created"), s.all)
	after := s.do(t, before.form(t, "/replay"), s.all)
	require.Contains(t, after.notice(t), "The event is queued again")
	again := s.get(t, s.event(t, "user.created"), s.all)
	require.NotContains(t, again.text, `class="notice"`, "it is said once")
	waittest.Until(t, func() bool { return replays() == 0 })

	list := s.get(t, s.path("events")+"?type=user.updated&limit=3", s.all)
	ask := s.get(t, list.links(s.path("replay"))[0], s.all)
	require.Contains(t, ask.words, "1 message")
	require.Contains(t, ask.words, "user.updated")
	require.Contains(t, s.do(t, ask.form(t, "/replay"), s.all).notice(t), "queued again")
	everything := s.get(t, s.path("replay"), s.all)
	require.Contains(t, everything.words, "7 messages")
	none := s.get(t, s.path("replay")+"?outcome=failed", s.all)
	require.Contains(t, none.words, "nothing to replay")
	require.Empty(t, none.forms("/replay"))
	wrong := s.get(t, s.path("replay")+"?outcome="+url.QueryEscape(hostile), s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	s.settled(t, 7)
}

func TestALostEventIsReplayedByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send(t, provider.Sample{Type: "user.created", UserID: "user_1", At: time.Now().Add(-time.Hour)})
	s.settled(t, 1)
	_, err := s.Mirror.Exec(t.Context(), `DELETE FROM capydb_auth.processed_events`)
	require.NoError(t, err)
	_, err = s.Mirror.Exec(t.Context(), `DELETE FROM capydb_auth.users`)
	require.NoError(t, err)
	event := s.get(t, s.event(t, "user.created"), s.all)
	s.do(t, event.form(t, "/replay"), s.all)
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.Mirror.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users`).Scan(&n))
		return n == 1
	})
}
