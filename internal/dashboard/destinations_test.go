package dashboard_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// outbound is the path of a destination that is disabled and has a failed delivery, in hostile words.
func (s *site) outbound(t *testing.T) string {
	t.Helper()
	s.exec(t, `WITH d AS (
			INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed, state, state_by, state_reason, condition, fields, options, event_types)
			VALUES ($1, 'app', 'http', '', 'disabled', 'user', $2, $2, ARRAY[$2::text],
				jsonb_build_object('requests', jsonb_build_object('default', jsonb_build_object('url', $2::text, 'body', $2::text)), 'headers', jsonb_build_object($2::text, $2::text)),
				ARRAY['user.created'])
			ON CONFLICT DO NOTHING RETURNING id
		), p AS (
			INSERT INTO authsync.destination_progress (destination_id, cursor) SELECT id, 1000 FROM d
		)
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at, state,
			reason, attempts, last_attempt_at, last_status, last_response, job_id, finished_at)
		SELECT $1, id, 1, 'user', $3, $3, 'user:' || $3, 'user.created', ARRAY[$2::text], now(), 'failed', $2, 3, now(), 500, $2, 4711, now() FROM d`,
		s.shop.ID, "outbound "+hostile, hostileID)
	return s.path("destinations", "app")
}

// delivery is the path of the delivery to the destination of outbound.
func (s *site) delivery(t *testing.T) string {
	t.Helper()
	s.outbound(t)
	var id string
	require.NoError(t, s.control.QueryRow(t.Context(),
		`SELECT o.id::text FROM authsync.deliveries AS o JOIN authsync.destinations AS d ON d.id = o.destination_id WHERE d.name = 'app'`).Scan(&id))
	return s.path("deliveries", id)
}

// receiver is the other side of destinations.
type receiver struct {
	url string

	mu     sync.Mutex
	status int
	answer string
	bodies []string
	header []http.Header
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil {
			r.bodies, r.header = append(r.bodies, string(body)), append(r.header, in.Header.Clone())
		}
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, r.answer)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) answers(status int, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.answer = status, answer
}

func (r *receiver) received() (bodies []string, header []http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(bodies, r.bodies...), append(header, r.header...)
}

// user has a user change.
func (s *site) user(t *testing.T, events int, id, firstName string) {
	t.Helper()
	s.send(t, provider.Sample{Type: "user.updated", UserID: id, At: time.Now().Add(-time.Minute).Add(time.Duration(events) * time.Second), Set: map[string]any{"first_name": firstName}})
	s.settled(t, events)
}

// state waits until the newest delivery has a state, and returns its page.
func (s *site) state(t *testing.T, want string) string {
	t.Helper()
	var id, state string
	waittest.Until(t, func() bool {
		_ = s.control.QueryRow(t.Context(), `SELECT id::text, state FROM authsync.deliveries ORDER BY id DESC LIMIT 1`).Scan(&id, &state)
		return state == want
	}, "%s", want)
	return s.path("deliveries", id)
}

// secretIn is the secret that a page shows.
func secretIn(t *testing.T, p *page) string {
	t.Helper()
	_, after, found := strings.Cut(p.words, "whsec_")
	require.True(t, found, "%s", p.words)
	return "whsec_" + strings.Fields(after)[0]
}

// fault is what the page says to be wrong with a field.
func (p *page) fault(t *testing.T, field string) string {
	t.Helper()
	for i, e := range p.elements {
		if id, _ := attribute(e, "id"); id == field+"-fault" {
			return p.texts[i]
		}
	}
	_, alert, _ := strings.Cut(p.text, `role="alert"`)
	alert, _, _ = strings.Cut(alert, "</p>")
	require.Fail(t, "nothing is wrong with "+field, "%s", alert)
	return ""
}

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
	require.Contains(t, s.do(t, again, s.all).notice(t), "1 delivery queued again")
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

func TestAFailedDeliveryIsRetriedByHand(t *testing.T) {
	t.Parallel()
	s, there := newSite(t), newReceiver(t)
	there.answers(http.StatusBadRequest, hostile+strings.Repeat("x", 10<<10))
	create := s.get(t, s.path("destinations", "new")+"?type=http", s.all).form(t, "/destinations")
	wrong := s.post(t, create, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.NotEmpty(t, wrong.fault(t, "name"))
	create.values.Set("name", "billing")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "requests.0.url"), "options.requests is missing")
	create.values.Set("requests.0.event_type", "user.*")
	create.values.Set("requests.0.method", "PUT")
	create.values.Set("requests.0.url", there.url+"/users/{{ .user.id")
	create.values.Set("requests.0.body", "{name: .user.first_name}")
	create.values.Set("requests.1.event_type", "user.*")
	create.values.Set("requests.1.url", there.url)
	create.values.Set("options.headers", "Authorization: Bearer {{ $secrets.key }}")
	create.values.Set("options.success", "2xx 404")
	create.values.Set("new_secret.0.name", "key")
	create.values.Set("new_secret.0.value", "top-secret-key")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "requests.1.event_type"), "another request for user.*")
	require.NotContains(t, wrong.text, "top-secret-key")
	create.values.Del("requests.1.url")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "requests.0.url"), "has a {{ without its }}")
	create = wrong.form(t, "/destinations")
	require.Equal(t, "PUT", create.values.Get("requests.0.method"))
	require.Equal(t, "key", create.values.Get("new_secret.0.name"))
	create.values.Set("requests.0.url", there.url+"/users/{{ .user.id }}")
	create.values.Set("new_secret.0.value", "short")
	wrong = s.post(t, create, s.all)
	require.Contains(t, wrong.fault(t, "new_secret.0.value"), "too short")
	create.values.Set("new_secret.0.value", "top-secret-key")
	made := s.do(t, create, s.all)
	require.Contains(t, made.notice(t), "Destination billing is created")

	s.user(t, 1, "user_1", "Ada")
	path := s.state(t, "failed")
	failed := s.get(t, path, s.all)
	require.Contains(t, failed.words, hostile)
	require.NotContains(t, failed.words, strings.Repeat("x", 5<<10), "a long answer is cut")
	require.Contains(t, s.get(t, "/", s.all).links(s.path("deliveries")), s.path("deliveries")+"?destination=billing&state=failed")
	require.Len(t, s.linksOf(t, s.path("deliveries")+"?destination=billing&state=failed", s.path("deliveries")+"/"), 1)
	there.answers(http.StatusOK, "thanks")
	require.Contains(t, s.do(t, failed.form(t, "/retry"), s.all).notice(t), "queued again")
	require.Equal(t, path, s.state(t, "delivered"))
	refused := s.post(t, failed.form(t, "/retry"), s.all)
	require.Equal(t, http.StatusConflict, refused.status)
	require.Contains(t, refused.words, "This could not be done")
	bodies, headers := there.received()
	require.Equal(t, []string{`{"name":"Ada"}`, `{"name":"Ada"}`}, bodies)
	require.Equal(t, "Bearer top-secret-key", headers[1].Get("Authorization"))

	there.answers(http.StatusInternalServerError, "")
	s.user(t, 2, "user_1", "Grace")
	retrying := s.get(t, s.state(t, "retrying"), s.all)
	require.Contains(t, s.do(t, retrying.form(t, "/cancel"), s.all).notice(t), "is cancelled")
	s.state(t, "cancelled")

	change := s.get(t, s.path("destinations", "billing", "change"), s.all)
	require.NotContains(t, change.text, "top-secret-key")
	f := change.form(t, "/change")
	require.Empty(t, f.values.Get("secrets.key"))
	require.Equal(t, "2xx, 404", f.values.Get("options.success"))
	f.values.Set("remove.key", "true")
	wrong = s.post(t, f, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Contains(t, wrong.fault(t, "options.headers"), "$secrets.key")
	require.Contains(t, s.do(t, f, s.all, "options.headers", "").words, "Secretsnone")
}

func TestStatesOfADestinationAreSaidInWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.call(t, http.MethodPost, "", map[string]any{"name": "app", "type": "webhook", "options": map[string]any{"url": "http://127.0.0.1:1/"}})
	one := s.path("destinations", "app")
	var sealed []byte
	require.NoError(t, s.control.QueryRow(t.Context(), `SELECT secrets_sealed FROM authsync.destinations`).Scan(&sealed))
	for _, state := range []struct {
		destination, progress string
		says                  []string
		mayResume, mayPause   bool
	}{
		{"state = 'active'", "failing_since = NULL, breaker_open_until = NULL", []string{"active", "Changes are sent as they happen."}, false, true},
		{"state = 'active'", "failing_since = now(), breaker_open_until = NULL", []string{"retrying", "Its last requests failed and are retried"}, false, true},
		{"state = 'active'", "breaker_open_until = now() + interval '1 hour'", []string{"failing", "Its requests keep failing", "Next try"}, true, true},
		{"state = 'paused', state_by = 'user', state_reason = NULL", "failing_since = NULL, breaker_open_until = NULL", []string{"A user has paused it.", "sent in order once it is resumed"}, true, false},
		{"state = 'paused', state_by = 'system', state_reason = 'The token is invalid.'", "failing_since = NULL, breaker_open_until = NULL", []string{"authsync has paused it: The token is invalid.", "then resume it"}, true, false},
		{"state = 'disabled', state_by = 'system', state_reason = 'gone'", "failing_since = NULL, breaker_open_until = NULL", []string{"authsync has disabled it: gone.", "then resume it"}, true, false},
		{"state = 'disabled', secrets_sealed = ''", "failing_since = NULL, breaker_open_until = NULL", []string{"unusable", "It cannot be used: ", "set its secrets again"}, true, false},
	} {
		s.exec(t, `UPDATE authsync.destination_progress SET `+state.progress)
		s.exec(t, `UPDATE authsync.destinations SET `+state.destination)
		page := s.get(t, one, s.all)
		list := s.get(t, s.path("destinations"), s.all)
		for i, want := range state.says {
			require.Contains(t, page.words, want)
			if i == 0 {
				require.Contains(t, list.words, want)
			}
		}
		if troubled := state.says[0] == "failing" || strings.HasPrefix(state.says[0], "authsync"); troubled {
			require.Contains(t, s.get(t, "/", s.all).links(one), one, "the home page leads to it")
		}
		require.Equal(t, state.mayResume, len(page.forms("/resume")) == 1, state.says)
		require.Equal(t, state.mayPause, len(page.forms("/pause")) == 1, state.says)
	}
	// The job that sends waits for the rate limit.
	s.exec(t, `UPDATE authsync.destinations SET state = 'active', secrets_sealed = $1`, sealed)
	s.exec(t, `
		WITH j AS (
			INSERT INTO authsync.river_job (kind, state, max_attempts, args, scheduled_at, metadata)
			VALUES ('deliver', 'scheduled', 1, '{}', now() + interval '1 hour', jsonb_build_object('output', jsonb_build_object('wait_reason', $1::text))) RETURNING id
		)
		INSERT INTO authsync.job_requests (kind, subject, args, job_id) SELECT 'deliver', d.id::text, '{}', j.id FROM authsync.destinations AS d, j
		ON CONFLICT (kind, subject) DO UPDATE SET job_id = excluded.job_id`, "limit "+hostile)
	require.Contains(t, s.get(t, one, s.all).words, "Nothing is sent now: limit "+hostile+". It goes on by itself.")
}

func TestANewSecretIsShownWithoutRecentResults(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.call(t, http.MethodPost, "", map[string]any{"name": "app", "type": "webhook", "options": map[string]any{"url": "http://127.0.0.1:1/"}})
	one := s.get(t, s.path("destinations", "app"), s.all)
	s.exec(t, `ALTER TABLE authsync.deliveries RENAME COLUMN last_attempt_at TO lost`)
	secretIn(t, s.post(t, one.form(t, "/rotate"), s.all))
}

// What a form answered with stands at its address, and looks for news there.
func TestThePageOfAFormOfADestinationLooksForNews(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one := s.outbound(t)
	for _, form := range []string{"/test", "/rotate"} {
		look := s.look(t, one+form, s.all)
		require.Equal(t, http.StatusOK, look.status)
		require.Contains(t, look.text, `id="state-section"`)
	}
}
