package receiver_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// notes hears of what the receiver refused and stored.
type notes struct {
	mu       sync.Mutex
	rejected []rejections.Request
	messages []receiver.Message
	bytes    int
	wants    bool
	full     map[uuid.UUID]bool
}

func (n *notes) Wants(uuid.UUID, string) bool { return n.wants }

func (n *notes) Add(r rejections.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rejected = append(n.rejected, r)
}

// got is what it has heard so far.
func (n *notes) got() *notes {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &notes{rejected: slices.Clone(n.rejected), messages: slices.Clone(n.messages), bytes: n.bytes}
}

func (n *notes) observe(m receiver.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages = append(n.messages, m)
}

// stored counts, as receiver.Usage.
type stored struct{ *notes }

func (s stored) Exceeded(id uuid.UUID) (bytes, quota int64, exceeded bool) {
	return 5 << 20, 4 << 20, s.full[id]
}

func (s stored) Add(_ uuid.UUID, _ time.Time, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += bytes
}

func setupNotes(t *testing.T) (*bundle, *notes) {
	t.Helper()
	n := &notes{wants: true, full: map[uuid.UUID]bool{}}
	b := setup(t, pgtest.Control(t), limit(10_000), func(c *receiver.Config) {
		c.Rejections, c.Usage, c.Observe = n, stored{n}, n.observe
	})
	return b, n
}

func TestRefusedRequestIsNoted(t *testing.T) {
	t.Parallel()
	standard := func(t *testing.T, secret string) http.Header {
		t.Helper()
		header, _ := signed(t, "better_auth", secret, `{}`)
		return header
	}
	for name, tc := range map[string]struct {
		provider string
		change   func(*testing.T, *bundle, *http.Request)
		status   int
		reason   string
		says     string
	}{
		"WrongSecret": {"auth0", func(_ *testing.T, _ *bundle, r *http.Request) { r.Header.Set("Authorization", "Bearer wrong-"+token) }, 401, "signature_mismatch", "webhook_signing_secret"},
		"NoSignature": {"auth0", func(_ *testing.T, _ *bundle, r *http.Request) { r.Header.Del("Authorization") }, 401, "signature_missing", "Authorization"},
		"SecretOfAnotherIntegration": {"auth0", func(t *testing.T, _ *bundle, r *http.Request) {
			t.Helper()
			r.Header = standard(t, token)
		}, 401, "secret_of_other_integration", "Better Auth"},
		"SecretOfAnotherProvidersForm": {"clerk", func(t *testing.T, _ *bundle, r *http.Request) {
			t.Helper()
			r.Header.Set("Authorization", "Bearer "+token)
		}, 401, "secret_of_other_integration", "Auth0"},
		"TooLarge":   {"auth0", func(_ *testing.T, _ *bundle, r *http.Request) { r.ContentLength = 10_001 }, 413, "body_too_large", "10000 bytes"},
		"Compressed": {"auth0", func(_ *testing.T, _ *bundle, r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415, "body_compressed", "compressed"},
		"NoIntegration": {"auth0", func(t *testing.T, b *bundle, r *http.Request) {
			t.Helper()
			only := uuid.New()
			b.add(endpoint(t, only, "clerk", provider.Credentials{WebhookSigningSecret: provider.Secrets{clerkSecret}}))
			r.URL.Path = strings.Replace(r.URL.Path, b.project.String(), only.String(), 1)
		}, 404, "integration_missing", "no integration"},
		// Whoever knows the URL could have a row for each of these names otherwise.
		"NoIntegrationOfOnesOwn": {"custom:unknown", func(_ *testing.T, _ *bundle, r *http.Request) {
			r.URL.Path = strings.Replace(r.URL.Path, "custom:unknown", "custom:invented", 1)
		}, 404, "integration_missing", "no integration with custom:invented"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, n := setupNotes(t)
			r := b.auth0(t, strings.NewReader(strings.Repeat(" ", 10_001)))
			if tc.status != http.StatusRequestEntityTooLarge {
				r = b.auth0(t, strings.NewReader(`{}`))
			}
			r.URL, _ = url.Parse(b.path(tc.provider))
			tc.change(t, b, r)
			got := send(t, r)
			require.Equal(t, tc.status, got.status)
			require.NotContains(t, got.detail, "Better Auth expects", "a stranger is not told")
			require.Equal(t, map[int]string{
				401: "unauthenticated", 404: "not_found", 413: "body_too_large", 415: "unsupported_media_type",
			}[tc.status], got.code)
			require.Len(t, n.got().rejected, 1)
			q := n.got().rejected[0]
			require.Equal(t, tc.provider, q.Provider)
			require.Equal(t, tc.status, q.Status)
			require.Equal(t, tc.reason, q.Reason)
			require.Contains(t, q.Detail, tc.says)
			require.Equal(t, "127.0.0.1", q.Address.String())
			require.Contains(t, q.HeaderNames, "User-Agent")
			require.NotContains(t, fmt.Sprintf("%+v", q), token)
			require.Equal(t, tc.reason, n.got().messages[0].Reason)
			require.Zero(t, n.got().messages[0].InboxID)
			require.Zero(t, n.got().bytes)
		})
	}

	for name, tc := range map[string]struct {
		method, path string // of the URL; %s is the id of a project with integrations
		status       int
		reason       string
		shown        string // of the path
	}{
		"OfAProjectThatIsNone":  {"POST", "/api/capydb/v1/integrations/auth0/webhook/0f0e0d0c-0000-4000-8000-000000000000", 404, "project_unknown", "0f0e0d0c-0000-4000-8000-000000000000"},
		"OfAnIDThatIsNoUUID":    {"POST", "/api/capydb/v1/integrations/clerk/webhook/shop", 404, "project_unknown", "/clerk/webhook/shop"},
		"OfAProviderThatIsNone": {"POST", "/api/capydb/v1/integrations/okta/webhook/%s", 404, "provider_unknown", "/okta/webhook/"},
		"ByAnotherMethod":       {"GET", "/api/capydb/v1/integrations/auth0/webhook/%s", 405, "method_not_allowed", "/auth0/webhook/"},
		"OfALongPath":           {"POST", "/api/capydb/v1/integrations/auth0/webhook/" + strings.Repeat("x", 5000), 404, "project_unknown", "xxx…"},
		"WithControlCharacters": {"POST", "/api/capydb/v1/integrations/auth0/webhook/a%%1B%%5B31m%%0A%%E2%%80%%AE", 404, "project_unknown", "a%1B%5B31m%0A%E2%80%AE"},
	} {
		t.Run(name+"IsToldToTheObserverOnly", func(t *testing.T) {
			t.Parallel()
			b, n := setupNotes(t)
			path := tc.path
			if strings.Contains(path, "%") {
				path = strings.ReplaceAll(strings.ReplaceAll(path, "%s", b.project.String()), "%%", "%")
			}
			r, err := http.NewRequestWithContext(t.Context(), tc.method, b.url+path, strings.NewReader(`{}`))
			require.NoError(t, err)
			require.Equal(t, tc.status, send(t, r).status)
			require.Empty(t, n.got().rejected)
			require.Len(t, n.got().messages, 1)
			m := n.got().messages[0]
			require.Equal(t, uuid.Nil, m.ProjectID)
			require.Equal(t, tc.status, m.Status)
			require.Equal(t, tc.reason, m.Reason)
			require.NotEmpty(t, m.Detail)
			require.Contains(t, m.Path, tc.shown)
			require.LessOrEqual(t, len([]rune(m.Path)), 101)
			require.NotContains(t, m.Path, "\x1b")
			require.NotContains(t, m.Path, "\n")
		})
	}

	t.Run("InAFloodNoOtherSecretIsTried", func(t *testing.T) {
		t.Parallel()
		b, n := setupNotes(t)
		n.wants = false
		r := b.auth0(t, strings.NewReader(`{}`))
		r.Header = standard(t, token)
		require.Equal(t, http.StatusUnauthorized, send(t, r).status)
		require.Equal(t, "signature_missing", n.got().rejected[0].Reason)
	})

	t.Run("NotOneThatIsStored", func(t *testing.T) {
		t.Parallel()
		b, n := setupNotes(t)
		require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(`{}`))).status)
		require.Equal(t, http.StatusBadRequest, send(t, b.auth0(t, strings.NewReader(`no JSON`))).status)
		require.Empty(t, n.got().rejected, "events show it")
		require.Len(t, n.got().messages, 2)
		require.Equal(t, "accepted", n.got().messages[0].Reason)
		require.Positive(t, n.got().messages[0].InboxID)
		require.Equal(t, "body_not_json", n.got().messages[1].Reason)
		require.Positive(t, n.got().messages[1].InboxID)
		require.Equal(t, len(`{}`)+len(`no JSON`), n.got().bytes)
	})
}

// Providers try a 503 again: what a project may not store now is not lost.
func TestProjectBeyondItsQuotaIsAskedToComeLater(t *testing.T) {
	t.Parallel()
	b, n := setupNotes(t)
	other := uuid.New()
	b.add(endpoint(t, other, "auth0", provider.Credentials{WebhookSigningSecret: provider.Secrets{token}}))
	n.full[b.project] = true
	got := send(t, b.auth0(t, strings.NewReader(`{}`)))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Contains(t, got.detail, "AUTHSYNC_PROJECT_QUOTA_BYTES")
	require.NotRegexp(t, `[0-9]`, got.detail, "how much there is is nobody's business who only knows the URL")
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, seconds, 60)
	require.Equal(t, "storage_quota_exceeded", n.got().rejected[0].Reason)
	require.Zero(t, b.rows(t))
	require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, b.project.String(), other.String(), 1)
	})).status, "another project's room is its own")
}
