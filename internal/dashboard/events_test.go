package dashboard_test

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	count := func(query url.Values) int {
		page := s.get(t, s.path("events")+"?"+query.Encode(), s.all)
		require.Equal(t, http.StatusOK, page.status)
		return len(page.links(s.path("events") + "/"))
	}
	require.Equal(t, 1, count(url.Values{"outcome": {"ignored"}, "type": {""}, "provider": {""}}), "a form sends empty fields")
	require.Equal(t, 7, count(url.Values{"provider": {"clerk"}}))
	require.Equal(t, 0, count(url.Values{"provider": {"auth0"}}))
	require.Equal(t, 1, count(url.Values{"type": {"user.created"}}))
	require.Equal(t, 4, count(url.Values{"user_id": {hostileID}}))
	require.Equal(t, 2, count(url.Values{"record_type": {"user"}, "record_id": {hostileID}}))
	require.Equal(t, 4, count(url.Values{"id_contains": {strings.ToUpper(hostileID[5:20])}}))
	require.NotContains(t, s.get(t, s.path("events")+"?id_contains=u", s.all).text, ">Replay ", "a replay takes no part of an id")
	require.Equal(t, 1, count(url.Values{"record_type": {"organization"}, "record_id": {"org_1"}}))
	require.Equal(t, 0, count(url.Values{"since": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}}))
	require.Equal(t, 7, count(url.Values{"until": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}}))

	form := s.get(t, s.path("events")+"?"+url.Values{"outcome": {"ignored"}, "type": {hostile}}.Encode(), s.all)
	require.Contains(t, form.words, "No event matches")
	require.Contains(t, form.text, "<option value=\"ignored\" selected>ignored</option>")
	field := slices.IndexFunc(form.elements, func(e xml.StartElement) bool { name, _ := attribute(e, "name"); return name == "type" })
	require.NotEqual(t, -1, field)
	value, _ := attribute(form.elements[field], "value")
	require.Equal(t, hostile, value, "the form keeps what was entered")

	seen, path := map[string]bool{}, s.path("events")+"?limit=3&provider=clerk"
	for pages := 1; ; pages++ {
		page := s.get(t, path, s.all)
		for _, link := range page.links(s.path("events") + "/") {
			require.False(t, seen[link])
			seen[link] = true
		}
		if pages == 3 {
			require.NotContains(t, page.text, `rel="next"`)
			require.Contains(t, page.links(s.path("events")+"?"), s.path("events")+"?limit=3&provider=clerk", "back to the first page")
			break
		}
		path = page.link(t, "next")
		require.Contains(t, path, "provider=clerk")
	}
	require.Len(t, seen, 7)

	for name, query := range map[string]url.Values{
		"since": {"since": {"yesterday"}}, "record_id": {"record_type": {"user"}}, "outcome": {"outcome": {hostile}}, "nonsense": {"nonsense": {hostile}},
	} {
		page := s.get(t, s.path("events")+"?"+query.Encode(), s.all)
		require.Equal(t, http.StatusUnprocessableEntity, page.status, name)
		require.Contains(t, page.text, `role="alert"`)
		require.Contains(t, page.words, name)
	}
}

// A page of what is pending may be empty and not the last one: it says so, and leads on.
func TestAnEmptyPageOfPendingEventsLeadsOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(t, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'clerk', now(), '{}', 'x' FROM generate_series(1, 2500) RETURNING id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
		SELECT id, 0, received_at, $1, 'pending' FROM i`, s.shop.ID)
	page := s.get(t, s.path("events")+"?outcome=pending&user_id=nobody", s.all)
	require.Contains(t, page.words, "The next page looks further")
	page = s.get(t, page.link(t, "next"), s.all)
	require.Contains(t, page.words, "No event matches. Values of a backfill")
	require.NotContains(t, page.text, `rel="next"`)
}
