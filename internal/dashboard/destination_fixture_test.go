package dashboard_test

import (
	"io"
	"net/http"
	"net/http/httptest"
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
			reason, attempts, last_attempt_at, last_status, last_response, job_id, finished_at,
			attempt_log)
		SELECT $1, id, 1, 'user', $3, $3, 'user:' || $3, 'user.created', ARRAY[$2::text], now(), 'failed', $2, 3, now(), 500, $2, 4711, now(),
			ARRAY[jsonb_build_object('number', 2, 'outcome', 'unknown', 'reason', $2::text, 'response', $2::text),
				jsonb_build_object('number', 3, 'outcome', 'failed', 'reason', $2::text, 'response', $2::text, 'bodies', jsonb_build_array($2::text, $2::text), 'requests',
					jsonb_build_array(
						jsonb_build_object('method', $2::text, 'url', $2::text, 'headers', jsonb_build_object($2::text, jsonb_build_array($2::text)), 'body_bytes', 9000,
							'body_cut', true, 'status', 404, 'response', $2::text, 'note', $2::text),
						jsonb_build_object('method', 'POST', 'url', $2::text, 'headers', jsonb_build_object($2::text, jsonb_build_array($2::text)), 'body_bytes', 7, 'status', 500)))]
		FROM d`,
		s.shop.ID, "outbound "+hostile, hostileID)
	return s.path("destinations", "app")
}

// delivery is the path of the delivery to the destination of outbound.
func (s *site) delivery(t *testing.T) string {
	t.Helper()
	s.outbound(t)
	var id string
	require.NoError(t, s.Control.QueryRow(t.Context(),
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
		_ = s.Control.QueryRow(t.Context(), `SELECT id::text, state FROM authsync.deliveries ORDER BY id DESC LIMIT 1`).Scan(&id, &state)
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
