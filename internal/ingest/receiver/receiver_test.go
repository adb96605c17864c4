package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	token       = "a-token-that-nobody-guesses-5c1f"
	clerkSecret = "whsec_bm90IGEgc2VjcmV0IG9mIGFueWJvZHksIGp1c3QgYSB0ZXN0"
)

func TestGenuineDeliveryIsDurableBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	body := `{"id":"evt_1", "type":"user.created"}`
	got := send(t, b.auth0(t, strings.NewReader(body)))
	require.Equal(t, http.StatusNoContent, got.status, got.detail)

	other, err := pgx.Connect(t.Context(), pgtest.URL(t, b.pool))
	require.NoError(t, err)
	defer other.Close(context.WithoutCancel(t.Context()))
	var name, stored string
	var id uuid.UUID
	var jobs int
	require.NoError(t, other.QueryRow(t.Context(), `
		SELECT provider, project_id, convert_from(body, 'UTF8'),
			(SELECT count(*) FROM authsync.inbox_pending AS p JOIN authsync.job_requests AS r ON r.kind = 'apply_inbox' AND r.subject = p.project_id::text
				WHERE i.id = ANY (p.inbox_ids) AND r.job_id IS NOT NULL)
		FROM authsync.inbox AS i`).Scan(&name, &id, &stored, &jobs))
	require.Equal(t, "auth0", name)
	require.Equal(t, b.project, id)
	require.Equal(t, body, stored)
	require.Equal(t, 1, jobs)
	require.InDelta(t, 1, b.count(t, "auth0", "accepted"), 0)
	require.Contains(t, b.log.String(), `"msg":"message_accepted"`)
}

// A log stream sends one object a line, with whatever Content-Type somebody gave it.
func TestLinesOfALogStreamAreReceived(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	entry := `{"log_id":"1","data":{"date":"2026-05-04T10:20:30Z","type":"s","user_id":"auth0|1"}}`
	for i, body := range []string{entry + "\n" + entry + "\r\n\r\n", entry + "\n", "[" + entry + "]", `{"logs":[` + entry + `]}`} {
		for j, contentType := range []string{"application/json", "application/x-ndjson", "text/plain", ""} {
			got := send(t, b.auth0(t, strings.NewReader(body), func(r *http.Request) { r.Header.Set("Content-Type", contentType) }))
			require.Equal(t, http.StatusNoContent, got.status, got.detail)
			require.Equal(t, 4*i+j+1, b.rows(t))
		}
	}
	got := send(t, b.auth0(t, strings.NewReader(entry+"\n"+entry[:30])))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.detail, "line 2 is not JSON: it goes wrong at byte 30 of 30")
	require.Equal(t, 17, b.rows(t), "it is stored all the same")
}

func TestEveryProviderAndSpellingIsReceived(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	for spelling, c := range map[string]provider.Credentials{
		"auth0":       {WebhookSigningSecret: provider.Secrets{token}},
		"clerk":       {WebhookSigningSecret: provider.Secrets{clerkSecret}},
		"better-auth": {WebhookSigningSecret: provider.Secrets{token}},
		"better_auth": {WebhookSigningSecret: provider.Secrets{token}},
	} {
		kind, err := registry.Lookup(spelling)
		require.NoError(t, err)
		header, body, err := kind.Sign(provider.Sample{Type: "user.created", At: time.Now()}, c, provider.Options{}, time.Now())
		require.NoError(t, err)
		r := b.auth0(t, bytes.NewReader(body))
		r.URL.Path = strings.Replace(r.URL.Path, "/auth0/", "/"+spelling+"/", 1)
		r.Header = header
		require.Equal(t, http.StatusNoContent, send(t, r).status, spelling)
	}
	require.Equal(t, 4, b.rows(t))
	var names []string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT array_agg(provider ORDER BY id) FROM authsync.inbox WHERE provider = 'better_auth'`).Scan(&names))
	require.Len(t, names, 2)
	var ids int
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT count(*) FROM authsync.inbox WHERE provider = 'clerk' AND message_id <> '' AND headers ->> 'Svix-Id' = message_id`).Scan(&ids))
	require.Equal(t, 1, ids, "the sender's id of the delivery")
}

func TestUnverifiedRequestIsRefusedAndNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	noSecret := uuid.New()
	b.add(endpoint(t, noSecret, "auth0", provider.Credentials{}))
	clerk := func(age time.Duration) func(r *http.Request) {
		return func(r *http.Request) {
			kind, err := registry.Lookup("clerk")
			require.NoError(t, err)
			header, body, err := kind.Sign(provider.Sample{Type: "user.created", At: time.Now()},
				provider.Credentials{WebhookSigningSecret: provider.Secrets{clerkSecret}}, provider.Options{}, time.Now().Add(age))
			require.NoError(t, err)
			r.URL.Path = strings.Replace(r.URL.Path, "/auth0/", "/clerk/", 1)
			r.Header, r.Body, r.ContentLength = header, io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
	}
	for name, tc := range map[string]struct {
		change           func(*http.Request)
		provider, result string
		says             string
	}{
		"WrongSecret": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong-"+token) }, "auth0", "signature_mismatch", "webhook_signing_secret"},
		"NoSignature": {func(r *http.Request) { r.Header.Del("Authorization") }, "auth0", "signature_missing", "Authorization"},
		"NoSecretYet": {
			func(r *http.Request) {
				r.URL.Path = strings.Replace(r.URL.Path, b.project.String(), noSecret.String(), 1)
			},
			"auth0", "secret_not_set", "webhook_signing_secret",
		},
		"TooOld":    {clerk(-time.Hour), "clerk", "timestamp_too_old", "clock"},
		"TooNew":    {clerk(time.Hour), "clerk", "timestamp_too_new", "clock"},
		"Malformed": {func(r *http.Request) { clerk(0)(r); r.Header.Set("Svix-Timestamp", "soon") }, "clerk", "signature_malformed", "provider"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := b.count(t, tc.provider, tc.result)
			got := send(t, b.auth0(t, strings.NewReader(`{}`), tc.change))
			require.Equal(t, http.StatusUnauthorized, got.status, got.detail)
			require.NotEmpty(t, got.header.Get("WWW-Authenticate"))
			require.Contains(t, got.detail, tc.says)
			require.NotContains(t, got.detail, token)
			require.Greater(t, b.count(t, tc.provider, tc.result), before)
		})
	}
	t.Cleanup(func() {
		var n int
		require.NoError(t, b.pool.QueryRow(context.Background(), `SELECT count(*) FROM authsync.inbox`).Scan(&n))
		require.Zero(t, n)
		require.NotContains(t, b.log.String(), token)
		require.Contains(t, b.log.String(), `"msg":"message_rejected"`)
	})
}

func TestSecretOfAMomentAgoIsFoundBeforeRefusing(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	b.directory.fresh = map[string]project.Endpoint{
		b.project.String() + "auth0": endpoint(t, b.project, "auth0", provider.Credentials{WebhookSigningSecret: provider.Secrets{"the-new-token-81d2"}}),
	}
	got := send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) { r.Header.Set("Authorization", "Bearer the-new-token-81d2") }))
	require.Equal(t, http.StatusNoContent, got.status, got.detail)

	b.directory.freshErr = project.ErrNotLoaded
	got = send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) { r.Header.Set("Authorization", "Bearer newer-still") }))
	requireRetryAfter(t, got)
	require.Equal(t, 1, b.rows(t))
}

func TestUnknownPlacesAreNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	only := uuid.New()
	b.add(endpoint(t, only, "clerk", provider.Credentials{WebhookSigningSecret: provider.Secrets{clerkSecret}}))
	for name, tc := range map[string]struct{ from, to, result, says string }{
		"Provider":    {"/auth0/", "/okta/", "provider_unknown", "better_auth"},
		"Project":     {b.project.String(), uuid.NewString(), "project_unknown", "no project"},
		"Malformed":   {b.project.String(), "demo", "project_unknown", "project's id"},
		"OtherForm":   {b.project.String(), strings.ReplaceAll(b.project.String(), "-", ""), "project_unknown", "project's id"},
		"Integration": {b.project.String(), only.String(), "integration_missing", "no integration with auth0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, tc.from, tc.to, 1) }))
			require.Equal(t, http.StatusNotFound, got.status)
			require.Contains(t, got.detail, tc.says)
			label := "auth0"
			if name == "Provider" {
				label = "unknown"
			}
			require.Positive(t, b.count(t, label, tc.result))
		})
	}

	t.Run("OtherMethod", func(t *testing.T) {
		t.Parallel()
		got := send(t, b.auth0(t, nil, func(r *http.Request) { r.Method = http.MethodPut }))
		require.Equal(t, http.StatusMethodNotAllowed, got.status)
		require.Equal(t, http.MethodPost, got.header.Get("Allow"))
	})
}

func TestGenuineDeliveryThatIsNoJSONIsStoredAndRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"Text": "hello", "Empty": "", "CutOff": `{"id":`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, pgtest.Control(t))
			got := send(t, b.auth0(t, strings.NewReader(body)))
			require.Equal(t, http.StatusBadRequest, got.status)
			require.Contains(t, got.detail, "stored")
			var stored string
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT convert_from(body, 'UTF8') FROM authsync.inbox`).Scan(&stored))
			require.Equal(t, body, stored)
			require.InDelta(t, 1, b.count(t, "auth0", "body_not_json"), 0)
		})
	}
}

func TestHeadersAreKeptWithoutCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	custom := uuid.New()
	b.add(endpoint(t, custom, "auth0", provider.Credentials{WebhookAuthorization: &provider.Authorization{
		Method: "custom_header", HeaderKey: "Ce-Source", HeaderValue: "custom-" + token,
	}}))
	stored := func(t *testing.T, id uuid.UUID) map[string]string {
		t.Helper()
		var headers map[string]string
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT headers FROM authsync.inbox WHERE project_id = $1`, id).Scan(&headers))
		return headers
	}
	sends := func(r *http.Request) {
		r.Header.Set("User-Agent", "auth0-events/1")
		r.Header.Set("Cookie", "session=1")
		r.Header.Set("X-Api-Key", "key")
		r.Header.Set("Svix-Signature", "v1,abc")
		r.Header.Set("Webhook-Signature", "v1,abc")
		r.Header.Set("X-Webhook-Signature", "sha256=abc")
		r.Header.Set("X-Better-Auth-Signature", "abc")
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		r.Header.Set("ce-type", strings.Repeat("c", 2000))
		r.Header.Set("Webhook-Id", "msg_1")
	}
	require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(`{}`), sends)).status)
	require.Equal(t, map[string]string{
		"Content-Type": "application/json", "User-Agent": "auth0-events/1", "Ce-Type": strings.Repeat("c", 512), "Webhook-Id": "msg_1",
	}, stored(t, b.project))

	require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(`{}`), sends, func(r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, b.project.String(), custom.String(), 1)
		r.Header.Del("Authorization")
		r.Header.Set("Ce-Source", "custom-"+token)
	})).status)
	require.Equal(t, map[string]string{"Content-Type": "application/json"}, stored(t, custom), "a header of the customer's choice is a credential")

	many := uuid.New()
	b.add(endpoint(t, many, "auth0", provider.Credentials{WebhookSigningSecret: provider.Secrets{token}}))
	require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, b.project.String(), many.String(), 1)
		for i := range 100 {
			r.Header.Set("Ce-"+strconv.Itoa(i), "x")
		}
	})).status)
	require.Len(t, stored(t, many), 32)
	require.NotContains(t, b.log.String(), token)
}

func TestDirectoryThatKnowsNothingYetIsATemporaryTrouble(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	b.directory.err = errors.Join(project.ErrNotLoaded, errors.New("no route to host"))
	got := send(t, b.auth0(t, strings.NewReader(`{}`)))
	requireRetryAfter(t, got)
	require.NotContains(t, got.detail, "route")
}
