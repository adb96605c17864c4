package api_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestProjectLivesAndGoes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`)
	require.Equal(t, http.StatusCreated, made.status)
	require.Equal(t, "shop", made.body["name"])
	require.Equal(t, "postgres://shop@db.example.com:5433/shop", made.body["database"])
	require.NotContains(t, made.text, "s3cret")
	id, _ := made.body["id"].(string)
	require.Equal(t, api.Prefix+"/projects/"+id, made.header.Get("Location"))

	require.Equal(t, made.body, b.call(t, http.MethodGet, "/projects/shop", "").body)
	require.Equal(t, made.body, b.call(t, http.MethodGet, "/projects/"+id, "").body)
	b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`).refused(t, http.StatusConflict, "this name already")

	moved := b.call(t, http.MethodPatch, "/projects/shop", `{"database_url": "postgres://u:s3cret@new.example.com/shop"}`)
	require.Equal(t, http.StatusOK, moved.status)
	require.Equal(t, "postgres://u@new.example.com:5432/shop", moved.body["database"])
	b.mirror.failWith(&pgconn.PgError{Code: "28P01", Message: "password authentication failed"})
	b.call(t, http.MethodPatch, "/projects/shop", `{"database_url": "postgres://u:s3cret@h/d"}`).
		refused(t, http.StatusUnprocessableEntity, "the server rejected the user or the password")

	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, "/projects/shop", "").status)
	b.call(t, http.MethodGet, "/projects/shop", "").refused(t, http.StatusNotFound, "no project")
	b.call(t, http.MethodDelete, "/projects/shop", "").refused(t, http.StatusNotFound, "no project")
}

func TestRetentionOfAProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`", "keep_days": {"inbox": 5, "deliveries": 7}}`)
	require.Equal(t, http.StatusCreated, made.status, made.text)
	kept := func(body map[string]any) string {
		t.Helper()
		text, err := json.Marshal(body["retention"])
		require.NoError(t, err)
		return string(text)
	}
	of := func(inbox, ledger, changes, deliveries string) string {
		return `{"changes":{` + changes + `},"deliveries":{` + deliveries + `},"inbox":{` + inbox + `},"ledger":{` + ledger + `}}`
	}
	const servers = `"days":2,"source":"server"`
	require.Equal(t, map[string]any{"inbox": 5.0, "ledger": nil, "changes": nil, "deliveries": 7.0}, made.body["keep_days"])
	require.Equal(t, of(`"days":5,"source":"project"`, `"days":30,"source":"server"`, servers, `"days":7,"source":"project"`), kept(made.body))

	patch := func(days string) reply {
		return b.call(t, http.MethodPatch, "/projects/shop", `{"keep_days": `+days+`}`)
	}
	changed := patch(`{"inbox": 45, "deliveries": null}`)
	require.Equal(t, http.StatusOK, changed.status, changed.text)
	require.Equal(t, of(`"days":45,"source":"project"`, `"days":45,"source":"raised"`, servers, `"days":null,"source":"server"`), kept(changed.body))
	require.Equal(t, changed.body, b.call(t, http.MethodGet, "/projects/shop", "").body)

	for days, want := range map[string]string{
		`{"ledger": 44}`:              "keep_days.ledger is 44: must be at least 45",
		`{"inbox": 3, "ledger": 6}`:   "keep_days.ledger is 6: must be at least 7",
		`{"inbox": 401}`:              "keep_days.inbox is 401: must be 1 to 400 days",
		`{"changes": 0}`:              "keep_days.changes is 0: must be 1 to 3650 days",
		`{"outcomes": 3}`:             "keep_days has \"outcomes\"",
		`{"inbox": 46, "ledger": 45}`: "keep_days.ledger is 45: must be at least 46",
	} {
		patch(days).refused(t, http.StatusUnprocessableEntity, want)
	}
	require.Equal(t, changed.body, b.call(t, http.MethodGet, "/projects/shop", "").body, "nothing of it was stored")
	require.Equal(t, http.StatusOK, patch(`{"ledger": 45}`).status)
	patch(`{"inbox": 46}`).refused(t, http.StatusUnprocessableEntity, "must be at least 46")
	refused := b.call(t, http.MethodPost, "/projects", `{"name": "other", "database_url": "`+someURL+`", "keep_days": {"inbox": 0}}`)
	refused.refused(t, http.StatusUnprocessableEntity, "keep_days.inbox is 0")
	require.Contains(t, refused.text, `"field":"keep_days.inbox"`)
	b.call(t, http.MethodGet, "/projects/other", "").refused(t, http.StatusNotFound, "no project")
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"a", "b", "c"} {
		b.project(t, name)
	}
	var names []any
	path := "/projects?limit=2"
	for path != "" {
		answer := b.call(t, http.MethodGet, path, "")
		for _, item := range answer.data(t) {
			object, _ := item.(map[string]any)
			names = append(names, object["name"])
		}
		next := answer.next(t)
		path = ""
		if next != "" {
			path = "/projects?limit=2&cursor=" + url.QueryEscape(next)
		}
	}
	require.Equal(t, []any{"a", "b", "c"}, names)

	for path, want := range map[string]string{
		"/projects?cursor=x":                "take next_cursor",
		"/projects/a/events?cursor=x":       "take next_cursor",
		"/projects?limit=0":                 "from 1 to 200",
		"/projects?limit=201":               "from 1 to 200",
		"/projects?limit=many":              "from 1 to 200",
		"/projects?limit=1&limit=2":         "give it once",
		"/projects?name=a":                  `unknown parameter "name": this call takes cursor, limit`,
		"/projects/a/events?user=1":         `unknown parameter "user"`,
		"/projects/a/events?user_id=":       "user_id is empty",
		"/projects/a/users?cursor=!":        "take next_cursor",
		"/projects/a/integrations?cursor=x": "take next_cursor",
		"/projects/a/destinations?limit=0":  "from 1 to 200",
		"/projects/a/events?since=today":    "since must be a time",
		"/projects/a/events?outcome=bad":    "take one of pending, applied",
		"/projects/a/events?provider=x":     "auth0, clerk, better_auth",
		"/keys?cursor=x":                    "take next_cursor",
	} {
		b.call(t, http.MethodGet, path, "").refused(t, http.StatusUnprocessableEntity, want)
	}
}

func TestIntegrationIsConfiguredAndShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accounts.failWith(fault.New(fault.Unsupported, "give session_token"))
	shop := b.project(t, "shop")
	path := "/projects/" + shop.ID.String() + "/integrations/"

	put := b.call(t, http.MethodPut, path+"better-auth", `{"credentials": {"webhook_signing_secret": ["s3cret-one-81fa2c", "s3cret-two-9be04d"]}, "options": {"absent_fields": "clear"}}`)
	require.Equal(t, http.StatusOK, put.status, put.text)
	require.NotContains(t, put.text, "s3cret")
	require.Equal(t, "better_auth", put.body["provider"])
	require.Equal(t, map[string]any{"webhook_signing_secret": map[string]any{"set": true, "count": 2.0}}, put.body["credentials"])
	require.Equal(t, map[string]any{"absent_fields": "clear"}, put.body["options"])
	config, ok := put.body["config"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, map[string]any{"started": false, "run_id": nil, "reason": "give session_token"}, config["backfill"])
	delete(config, "backfill") // it tells of this call only
	require.Equal(t, map[string]any{"every": nil, "default": true}, config["reconcile"])
	delete(config, "reconcile")
	require.Equal(t, map[string]any{"webhook_receiver": "https://sync.example.com/api/capydb/v1/integrations/better-auth/webhook/" + shop.ID.String()}, config)
	config["reconcile"] = map[string]any{"every": nil, "default": true}

	got := b.call(t, http.MethodGet, path+"better_auth", "").body
	unused := func(secret provider.Secret) any {
		return map[string]any{"name": provider.SecretName(secret), "accepted": true, "recent_messages": 0.0, "last_used_at": nil}
	}
	require.Equal(t, []any{unused("s3cret-one-81fa2c"), unused("s3cret-two-9be04d")}, got["secrets"])
	delete(got, "secrets") // of one integration only
	require.Equal(t, put.body, got)
	require.Equal(t, []any{put.body}, b.call(t, http.MethodGet, "/projects/shop/integrations", "").data(t))

	b.call(t, http.MethodPut, path+"okta", `{}`).refused(t, http.StatusNotFound, "auth0, clerk, better_auth")
	b.call(t, http.MethodPut, path+"clerk", `{"credentials": {"secret": "s3cret"}}`).
		refused(t, http.StatusUnprocessableEntity, `unknown credential "secret": must be one of client_id, client_secret, database_url, domain, secret_key`)
	b.call(t, http.MethodGet, path+"clerk", "").refused(t, http.StatusNotFound, "no integration")
	b.mirror.failWith(&pgconn.PgError{Code: "42501", Message: "permission denied for database shop"})
	b.call(t, http.MethodPut, path+"clerk", `{}`).refused(t, http.StatusUnprocessableEntity, "GRANT CREATE")

	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, path+"better-auth", "").status)
	b.call(t, http.MethodDelete, path+"better-auth", "").refused(t, http.StatusNotFound, "no integration")
}

func TestWebhookReceiverIsWhereTheRequestWasSent(t *testing.T) {
	t.Parallel()
	b := &testBundle{pool: pgtest.Control(t), mirror: &fakeMirror{}, log: &strings.Builder{}}
	b.start(t, b.mirror, b.mirror, "")
	b.project(t, "shop")
	for name, tc := range map[string]struct {
		forwarded string
		tls       bool
		want      string
	}{
		"Plain":          {"", false, "http://sync.test:8080/"},
		"BehindAProxy":   {"https, http", false, "https://sync.test:8080/"},
		"TLS":            {"", true, "https://sync.test:8080/"},
		"OtherForwarded": {"javascript", false, "http://sync.test:8080/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPut,
				"http://sync.test:8080"+api.Prefix+"/projects/shop/integrations/auth0", strings.NewReader("{}"))
			r.Header.Set("Authorization", "Bearer "+b.key)
			r.Header.Set("X-Forwarded-Proto", tc.forwarded)
			if tc.tls {
				r.TLS = &tls.ConnectionState{}
			}
			config, _ := b.send(t, r).body["config"].(map[string]any)
			receiver, _ := config["webhook_receiver"].(string)
			require.True(t, strings.HasPrefix(receiver, tc.want+"api/capydb/v1/integrations/auth0/webhook/"), receiver)
		})
	}
}

// The set-up as it is published, on a real project database.
func TestPublishedSetUpWorks(t *testing.T) {
	t.Parallel()
	b := &testBundle{pool: pgtest.Control(t), log: &strings.Builder{}}
	empty := pgtest.Empty(t)
	databases := tenantdb.New(tenantdb.Config{
		URL: func(ctx context.Context, id uuid.UUID) (string, error) { return b.store.DatabaseURL(ctx, id) },
	})
	t.Cleanup(func() { require.NoError(t, databases.Close(context.WithoutCancel(t.Context()))) })
	mirrors := mirror.New(mirror.Config{Databases: databases})
	b.start(t, mirrors, mirrors, "https://sync.example.com")

	made := b.call(t, http.MethodPost, "/projects", fmt.Sprintf(`{"name": "shop", "database_url": %q}`, pgtest.URL(t, empty)))
	require.Equal(t, http.StatusCreated, made.status, made.text)
	put := b.call(t, http.MethodPut, fmt.Sprintf("/projects/%s/integrations/auth0", made.body["id"]),
		`{"credentials":{"webhook_signing_secret":"a-long-and-random-secret"}}`)
	require.Equal(t, http.StatusOK, put.status, put.text)

	_, err := empty.Exec(t.Context(), `INSERT INTO capydb_auth.users (id, email, provider, last_event_processed)
		VALUES ('auth0|1/2', 'a@example.com', 'auth0', '2026-05-04T10:20:30Z')`)
	require.NoError(t, err)
	user := b.call(t, http.MethodGet, "/projects/shop/users/auth0%7C1%2F2", "")
	require.Equal(t, http.StatusOK, user.status, user.text)
	row, _ := user.body["user"].(map[string]any)
	require.Equal(t, "a@example.com", row["email"])
	b.call(t, http.MethodGet, "/projects/shop/users/auth0%7C3", "").refused(t, http.StatusNotFound, "no user of this id")

	_, err = empty.Exec(t.Context(), `
		INSERT INTO capydb_auth.memberships (organization_id, user_id, role, provider, last_event_processed)
		VALUES ('org_1', 'auth0|1/2', 'admin', 'auth0', '2026-05-04T10:20:30Z'), ('org_1', 'auth0|3', 'member', 'auth0', '2026-05-04T10:20:30Z')`)
	require.NoError(t, err)
	page := b.call(t, http.MethodGet, "/projects/shop/records/membership?organization_id=org_1&limit=1", "")
	require.Equal(t, http.StatusOK, page.status, page.text)
	require.Contains(t, page.text, `"org_1/auth0|1/2"`)
	page = b.call(t, http.MethodGet, fmt.Sprint("/projects/shop/records/membership?organization_id=org_1&limit=1&cursor=", page.body["next_cursor"]), "")
	require.Contains(t, page.text, `"org_1/auth0|3"`)
	require.Nil(t, page.body["next_cursor"])
	b.call(t, http.MethodGet, "/projects/shop/records/session?organization_id=org_1", "").refused(t, http.StatusUnprocessableEntity, "sessions have no organization_id")
	b.call(t, http.MethodGet, "/projects/shop/records/session?organization_id=org_1", "").invalid(t, "query", "organization_id", "invalid")
	b.call(t, http.MethodGet, "/projects/shop/records/organization?user_id=user_1", "").invalid(t, "query", "user_id", "invalid")
	one := b.call(t, http.MethodGet, "/projects/shop/records/membership/org_1%2Fauth0%7C1%2F2", "")
	require.Equal(t, http.StatusOK, one.status, one.text)
	record, _ := one.body["record"].(map[string]any)
	require.Equal(t, "admin", record["role"])
	_, err = empty.Exec(t.Context(), `INSERT INTO capydb_auth.users (id, email, first_name, last_name, provider, last_event_processed)
		VALUES ('user_1', 'ada@example.com', 'Ada', 'Byron', 'clerk', now()), ('user_2', 'b@example.com', 'Ada', 'Lovelace', 'clerk', now())`)
	require.NoError(t, err)
	const named = "/projects/shop/records/user?name=ADA&limit=1"
	page = b.call(t, http.MethodGet, named, "")
	require.Contains(t, page.text, `"user_1"`)
	page = b.call(t, http.MethodGet, fmt.Sprint(named, "&cursor=", page.body["next_cursor"]), "")
	require.Contains(t, page.text, `"user_2"`)
	require.Nil(t, page.body["next_cursor"])
	page = b.call(t, http.MethodGet, "/projects/shop/records/user?email=ADA@example.com", "")
	require.Contains(t, page.text, `"user_1"`)
	require.NotContains(t, page.text, `"user_2"`)
	const users, byID = "/projects/shop/records/user", "dXNlcl8x" // the cursor of a list by id
	b.call(t, http.MethodGet, "/projects/shop/records/session?name=a", "").refused(t, http.StatusUnprocessableEntity, "sessions have no name")
	b.call(t, http.MethodGet, "/projects/shop/records/organization?email=a", "").invalid(t, "query", "email", "invalid")
	b.call(t, http.MethodGet, users+"?email=a&name=b", "").invalid(t, "query", "name", "invalid")
	b.call(t, http.MethodGet, users+"?name="+strings.Repeat("a", 65), "").refused(t, http.StatusUnprocessableEntity, "at most 64 characters")
	require.Equal(t, http.StatusOK, b.call(t, http.MethodGet, users+"?name="+strings.Repeat("%C3%A9", 64), "").status)
	b.call(t, http.MethodGet, users+"?name=a&cursor="+byID, "").refused(t, http.StatusUnprocessableEntity, "cursor")
	b.call(t, http.MethodGet, "/projects/shop/records/membership/org_1", "").refused(t, http.StatusNotFound, "no membership of this id")
	b.call(t, http.MethodGet, "/projects/shop/records/room/1", "").refused(t, http.StatusNotFound, "no record type")

	gone := b.call(t, http.MethodPatch, "/projects/shop", `{"database_url": "postgres://nobody:s3cret@127.0.0.1:1/nowhere"}`)
	gone.refused(t, http.StatusUnprocessableEntity, "nothing listens on the host and port")
	require.NotContains(t, gone.text, "s3cret")
}

func TestUserOfADatabaseThatIsAwayIsTemporaryTrouble(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	for _, err := range []error{
		&tenantdb.DelayError{After: time.Second, Err: fmt.Errorf("closed for a while: %w", context.DeadlineExceeded)},
		fmt.Errorf("read: %w", &pgconn.PgError{Code: "57P03", Message: "the database system is starting up"}),
	} {
		b.mirror.failWith(err)
		answer := b.call(t, http.MethodGet, "/projects/shop/users/1", "")
		require.Equal(t, http.StatusServiceUnavailable, answer.status, answer.text)
		require.Contains(t, answer.body["detail"], "database")
		require.Contains(t, answer.body["detail"], "cannot be used now")
		require.Equal(t, "5", answer.header.Get("Retry-After"))
	}
}

// deliver puts a delivery into the inbox, with an event of that outcome.
func (b *testBundle) deliver(t *testing.T, p project.Project, outcome, userID string, body []byte) (id string) {
	t.Helper()
	at := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	inboxID, err := b.inbox.Append(t.Context(), inbox.Message{
		ProjectID: p.ID, Provider: "clerk", MessageID: "msg_1", ReceivedAt: at,
		Headers: map[string]string{"Content-Type": "application/json"}, Body: body,
	})
	require.NoError(t, err)
	if outcome == inbox.Pending {
		return fmt.Sprintf("%d.0", inboxID)
	}
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return b.inbox.RecordOutcomes(t.Context(), tx, []inbox.Outcome{{
			InboxID: inboxID, ReceivedAt: at, ProjectID: p.ID, EventID: "evt_" + userID, Type: "user.updated",
			UserID: userID, EventTime: at, Outcome: outcome, Reason: "because",
		}})
	}))
	return fmt.Sprintf("%d.0", inboxID)
}
