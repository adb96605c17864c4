package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

func TestEventsAreListedShownAndReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	applied := b.deliver(t, shop, inbox.Applied, "user_1", []byte("as it came: ä"))
	failed := b.deliver(t, shop, inbox.Failed, "user_2", []byte("\xff"))
	pending := b.deliver(t, shop, inbox.Pending, "", []byte(`{}`))
	foreign := b.deliver(t, other, inbox.Applied, "user_1", []byte(`{}`))
	events := "/projects/shop/events"
	ids := func(query string) (ids []string) {
		for _, item := range b.call(t, http.MethodGet, events+query, "").data(t) {
			object, _ := item.(map[string]any)
			id, _ := object["id"].(string)
			ids = append(ids, id)
		}
		return ids
	}

	require.Equal(t, []string{pending, failed, applied}, ids(""))
	for query, want := range map[string][]string{
		"?outcome=failed":                                        {failed},
		"?user_id=user_1":                                        {applied},
		"?event_id=evt_user_2":                                   {failed},
		"?id_contains=USER_2":                                    {failed},
		"?type=user.updated&limit=1":                             {failed},
		"?provider=better-auth":                                  nil,
		"?provider=clerk&outcome=pending":                        {pending},
		"?since=2026-05-04T10:20:30.5Z":                          nil,
		"?until=2026-05-04T12:20:30%2B02:00":                     nil,
		"?since=2026-05-04T10:20:30Z&until=2026-05-04T10:20:31Z": {pending, failed, applied},
	} {
		require.Equal(t, want, ids(query), query)
	}
	first := b.call(t, http.MethodGet, events+"?limit=2", "")
	require.Equal(t, []string{applied}, ids("?limit=2&cursor="+url.QueryEscape(first.next(t))))

	shown := b.call(t, http.MethodGet, events+"/"+applied, "")
	require.Equal(t, "2026-05-04T10:20:30Z", shown.body["event_time"])
	require.Equal(t, "user_1", shown.body["user_id"])
	require.NotContains(t, shown.body, "body", "personal data is shown only on request")
	require.Equal(t, shown.body, b.call(t, http.MethodGet, events+"/"+strings.TrimSuffix(applied, ".0"), "").body)
	require.NotContains(t, b.log.String(), "message_body_shown")
	full := b.call(t, http.MethodGet, events+"/"+applied+"?body=true", "")
	require.Equal(t, "as it came: ä", full.body["body"])
	require.Equal(t, map[string]any{"Content-Type": "application/json"}, full.body["headers"])
	require.Contains(t, b.log.String(), "message_body_shown")
	require.Equal(t, "/w==", b.call(t, http.MethodGet, events+"/"+failed+"?body=true", "").body["body_base64"])

	for body, want := range map[string]float64{
		`{"dry_run": true}`: 3, `{"dry_run": true, "outcome": "failed"}`: 1, `{"dry_run": true, "user_id": "nobody"}`: 0,
	} {
		counted := b.call(t, http.MethodPost, events+"/replay", body)
		require.Equal(t, http.StatusOK, counted.status)
		require.Equal(t, map[string]any{"jobs": 0.0, "dry_run": true, "matched": want, "next_cursor": nil}, counted.body, body)
	}

	for _, path := range []string{"/" + foreign, "/999.0", strings.Replace("/"+applied, ".0", ".1", 1)} {
		b.call(t, http.MethodGet, events+path, "").refused(t, http.StatusNotFound, "no such event")
		b.call(t, http.MethodPost, events+path+"/replay", "").refused(t, http.StatusNotFound, "no such event")
	}
	b.call(t, http.MethodGet, events+"/evt_1", "").refused(t, http.StatusNotFound, "such as 17.0")
	b.call(t, http.MethodGet, events+"/"+applied+"?body=yes", "").refused(t, http.StatusUnprocessableEntity, "true or false")

	jobs := func(kind string) (n int) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE kind = $1`, kind).Scan(&n))
		return n
	}
	waiting := func() (n int) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox_pending`).Scan(&n))
		return n
	}
	before := waiting()
	require.Equal(t, map[string]any{"jobs": 1.0, "dry_run": false, "next_cursor": nil}, b.call(t, http.MethodPost, events+"/"+applied+"/replay", "").body)
	require.Equal(t, before+1, waiting())
	require.Equal(t, http.StatusAccepted, b.call(t, http.MethodPost, events+"/"+failed+"/replay", "").status)
	require.Equal(t, 1, jobs("retry_event"), "what failed is tried alone")
	require.Equal(t, map[string]any{"jobs": 1.0, "dry_run": false, "next_cursor": nil}, b.call(t, http.MethodPost, events+"/replay", `{"user_id": "user_1"}`).body)
	require.Equal(t, before+2, waiting(), "of this project only")
	b.call(t, http.MethodPost, events+"/replay", `{"outcome": "bad"}`).refused(t, http.StatusUnprocessableEntity, "take one of")
}
