package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestADestinationIsCreatedUsedAndDeleted(t *testing.T) {
	t.Parallel()
	s, there := newSite(t), newReceiver(t)
	there.answers(http.StatusOK, hostile)
	start := s.get(t, s.path("destinations"), s.all)
	choose := s.get(t, start.links(s.path("destinations", "new"))[0], s.all)
	types := choose.links(s.path("destinations", "new") + "?type=")
	require.Len(t, types, 3)
	create := s.get(t, types[0], s.all).form(t, "/destinations")

	create.values.Set("name", "app")
	create.values.Set("condition", ".user.first_name != \"nobody\"")
	create.values.Set("secrets.signing_secret", "whsec_c2hvcnQgb25l")
	wrong := s.post(t, create, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Contains(t, wrong.fault(t, "options.url"), "options.url is missing")
	require.NotContains(t, wrong.text, "whsec_c2hvcnQgb25l", "a secret is not sent back")
	create = wrong.form(t, "/destinations")
	require.Equal(t, "app", create.values.Get("name"))
	require.Equal(t, ".user.first_name != \"nobody\"", create.values.Get("condition"))
	require.Equal(t, []string{"user.*"}, create.values["event_types"])
	create.values.Set("options.url", there.url)
	create.values.Set("options.headers", "X-One: 1\nX-Two: "+hostile)
	create.values.Set("since", "time")
	create.values.Set("since_time", "yesterday")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "since_time"), "yesterday")
	create = wrong.form(t, "/destinations")
	create.values.Set("since", "now")
	create.values.Set("options.limit.requests", "many")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "options.limit.requests"), "whole number")
	create = wrong.form(t, "/destinations")
	create.values.Set("options.limit.requests", "")
	create.values.Set("options.headers", "X-One")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "options.headers"), "X-One")
	create.values.Set("options.headers", "X-One: 1\r\nX-Two: "+hostile)
	create.values.Set("condition", ".user.first_name\r\n!= \"nobody\"")
	made := s.post(t, create, s.all)
	require.Equal(t, http.StatusOK, made.status, "%s", made.words)
	secret := secretIn(t, made)
	require.Equal(t, secret, secretIn(t, s.post(t, create, s.all)), "a form that is sent twice does its work once")
	one := s.path("destinations", "app")
	require.Equal(t, []string{one}, s.linksOf(t, s.path("destinations"), one))
	require.JSONEq(t, `".user.first_name\n!= \"nobody\""`, string(s.call(t, http.MethodGet, "/app", nil)["condition"]))
	shown := s.get(t, one, s.all)
	require.NotContains(t, shown.text, secret, "it is shown once")
	for _, want := range []string{"signing_secret", "is set", "X-Two", "nobody", "Changes are sent as they happen"} {
		require.Contains(t, shown.words, want)
	}

	tested := s.post(t, shown.form(t, "/test#test"), s.all)
	require.Equal(t, http.StatusOK, tested.status)
	for _, want := range []string{"Delivered", "status 200", hostile, "authsync-test-user", "webhook-signature"} {
		require.Contains(t, strings.ToLower(tested.words), strings.ToLower(want))
	}
	_, headers := there.received()
	require.Equal(t, "true", headers[0].Get("Authsync-Test"))
	require.Equal(t, hostile, headers[0].Get("X-Two"))

	s.user(t, 1, hostileID, hostile)
	delivery := s.get(t, s.state(t, "delivered"), s.all)
	for _, want := range []string{"delivered", "The destination has it", "user.created", hostileID, hostile, "200"} {
		require.Contains(t, delivery.words, want)
	}
	require.Empty(t, delivery.forms("/retry"))
	bodies, _ := there.received()
	require.Len(t, bodies, 2)
	user := s.get(t, s.path("records", "user", hostileID), s.all)
	require.Len(t, user.links(s.path("deliveries")+"/"), 1)
	require.Contains(t, user.links(s.path("deliveries")), s.path("deliveries")+"?"+url.Values{"record_type": {"user"}, "record_id": {hostileID}}.Encode())

	preview := s.get(t, shown.form(t, "/preview").action[len("GET "):]+"?"+url.Values{"record_type": {"user"}, "record_id": {hostileID}}.Encode(), s.all)
	require.Equal(t, http.StatusOK, preview.status)
	require.Contains(t, preview.words, "This change is one that it is sent")
	require.Contains(t, preview.words, there.url)
	nobody := s.get(t, one+"/preview?record_type=user&record_id=nobody", s.all)
	require.Equal(t, http.StatusNotFound, nobody.status)
	require.Contains(t, nobody.text, `value="nobody"`)

	paused := s.do(t, shown.form(t, "/pause"), s.all, "reason", hostile)
	require.Contains(t, paused.notice(t), "is paused")
	require.Contains(t, paused.words, "A user has paused it: "+hostile)
	require.Empty(t, paused.forms("/pause"))
	resumed := s.do(t, paused.form(t, "/resume"), s.all)
	require.Contains(t, resumed.words, "Changes are sent as they happen")

	rotate := resumed.form(t, "/rotate")
	rotated := s.post(t, rotate, s.all)
	fresh := secretIn(t, rotated)
	require.NotEqual(t, secret, fresh)
	require.Equal(t, fresh, secretIn(t, s.post(t, rotate, s.all)), "a form that is sent twice does its work once")
	after := s.get(t, one, s.all)
	require.NotContains(t, after.text, fresh)
	require.Contains(t, after.words, "the old one is valid until")

	ask := s.get(t, one+"/replay", s.all)
	require.Empty(t, ask.forms(one + "/replay")[0].values.Get("once"))
	counted := s.get(t, one+"/replay?state=delivered&record_type=&since=", s.all)
	require.Contains(t, counted.words, "1 delivery would be sent again")
	require.Contains(t, s.get(t, one+"/replay?state=failed", s.all).words, "nothing to replay")
	require.Equal(t, http.StatusUnprocessableEntity, s.get(t, one+"/replay?since=now", s.all).status)
	require.Contains(t, s.get(t, one+"/replay?state=&since=", s.all).words, "say what to deliver again")
	require.Contains(t, s.get(t, one+"/preview?record_type=user&record_id=", s.all).words, "record_id")
	replay := counted.forms(one + "/replay")
	require.Len(t, replay, 2)
	again := replay[1]
	require.Contains(t, s.do(t, again, s.all).notice(t), "1 delivery is queued again")
	s.do(t, again, s.all)
	waittest.Until(t, func() bool { bodies, _ := there.received(); return len(bodies) == 3 })
	s.state(t, "delivered")

	change := s.get(t, one+"/change", s.all).form(t, "/change")
	require.Equal(t, "X-One: 1\nX-Two: "+hostile, change.values.Get("options.headers"))
	renamed := s.do(t, change, s.all, "name", "new", "condition", "", "fields", "email\nraw.plan")
	require.Contains(t, renamed.notice(t), "Destination new is changed")
	require.Contains(t, renamed.words, "raw.plan")
	bodies, _ = there.received()
	require.Len(t, bodies, 3)

	gone := s.do(t, renamed.form(t, "/delete"), s.all)
	require.Contains(t, gone.notice(t), "deleted")
	require.Contains(t, gone.words, "Changes are sent nowhere yet")
	require.Equal(t, http.StatusNotFound, s.get(t, one, s.all).status)
}

func TestANewSecretIsShownWithoutRecentResults(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.call(t, http.MethodPost, "", map[string]any{"name": "app", "type": "webhook", "options": map[string]any{"url": "http://127.0.0.1:1/"}})
	one := s.get(t, s.path("destinations", "app"), s.all)
	s.exec(t, `ALTER TABLE authsync.deliveries RENAME COLUMN last_attempt_at TO lost`)
	secretIn(t, s.post(t, one.form(t, "/rotate"), s.all))
}
