package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// startWith starts a server with changed settings; it must be stopped by the test.
func (in *installation) startWith(t *testing.T, change func(*config.Config)) *app.App {
	t.Helper()
	c := in.settings
	change(&c)
	a, err := app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return a
}

// poster sends webhooks over a connection that it keeps.
type poster struct {
	http   *http.Client
	header http.Header
	body   []byte
}

// post returns whether the server said that it ends the connection.
func (p *poster) post(ctx context.Context, url string) (status int, closes bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(p.body))
	if err != nil {
		return 0, false, err
	}
	req.Header = p.header.Clone()
	response, err := p.http.Do(req)
	if err != nil {
		return 0, false, err
	}
	return response.StatusCode, response.Close, response.Body.Close()
}

// Two processes behind a proxy; one of them is restarted under load. A sender goes to the
// other one as soon as it is told to, by the end of its connection or by /readyz.
func TestRollingRestartCutsNoRequestOff(t *testing.T) {
	t.Parallel()
	in := install(t)
	receiving := func(c *config.Config) {
		c.Roles = config.Roles{Receiver: true}
		c.DrainDelay = waittest.Bound // the test ends it
	}
	old, next := in.startWith(t, receiving), in.startWith(t, receiving)
	defer func() { require.NoError(t, next.Stop(context.WithoutCancel(t.Context()))) }()
	kind, err := registry.Lookup(provider.Auth0)
	require.NoError(t, err)
	credentials := provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}
	header, body, err := kind.Sign(provider.Sample{Type: "user.created", UserID: "auth0|1"}, credentials, provider.Options{}, time.Now())
	require.NoError(t, err)
	oldURL := client.New(old.URL(), "").WebhookURL(provider.Auth0, in.projectID)
	nextURL := client.New(next.URL(), "").WebhookURL(provider.Auth0, in.projectID)

	const senders = 8
	var wait sync.WaitGroup
	faults := make(chan string, senders)
	var begun, moved sync.WaitGroup
	begun.Add(senders)
	moved.Add(senders)
	over := make(chan struct{})
	for range senders {
		wait.Go(func() {
			p := &poster{http: &http.Client{Transport: &http.Transport{}}, header: header, body: body}
			defer p.http.CloseIdleConnections()
			url := oldURL
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				status, closes, err := p.post(t.Context(), url)
				if err != nil || status != http.StatusNoContent {
					faults <- "a request was answered " + http.StatusText(status) + ": " + errorText(err)
					if url == oldURL {
						moved.Done()
					}
					return
				}
				if n == 0 {
					begun.Done()
				}
				if closes && url == oldURL {
					url = nextURL
					moved.Done()
				}
			}
		})
	}
	begun.Wait()
	ready, _ := get(t, old.URL()+"/readyz")
	require.Equal(t, http.StatusOK, ready)
	stopping := context.WithoutCancel(t.Context())
	drains, drained := context.WithCancel(stopping)
	stopped := make(chan error, 1)
	go func() {
		old.Drain(drains)
		stopped <- old.Stop(stopping)
	}()
	waittest.Until(t, func() bool { status, _ := get(t, old.URL()+"/readyz"); return status == http.StatusServiceUnavailable })
	moved.Wait()
	drained()
	require.NoError(t, waittest.Receive(t, stopped))
	close(over)
	wait.Wait()
	close(faults)
	for fault := range faults {
		require.Fail(t, fault)
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// A request whose sender gives up while the server is being stopped is stored all the same.
func TestStoppingServerStoresWhatItHasRead(t *testing.T) {
	t.Parallel()
	in := install(t)
	a := in.startWith(t, func(c *config.Config) { c.Roles = config.Roles{Receiver: true} })
	control, err := app.OpenControl(t.Context(), in.settings.DatabaseURL, in.settings.EncryptionKey, 2, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, control.Close(context.WithoutCancel(t.Context()))) }()
	count := func(query string) (n int) {
		require.NoError(t, control.Pool.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	held, err := control.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), `LOCK TABLE authsync.inbox IN SHARE ROW EXCLUSIVE MODE`)
	require.NoError(t, err)

	kind, err := registry.Lookup(provider.Auth0)
	require.NoError(t, err)
	header, body, err := kind.Sign(provider.Sample{Type: "user.created", UserID: "auth0|1"},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	p := &poster{http: &http.Client{Transport: &http.Transport{}}, header: header, body: body}
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := p.post(ctx, client.New(a.URL(), "").WebhookURL(provider.Auth0, in.projectID))
		ended <- err
	}()
	waittest.Until(t, func() bool {
		return count(`SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'authsync.inbox'::regclass`) > 0
	})
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(context.WithoutCancel(t.Context())) }()
	giveUp()
	require.ErrorIs(t, waittest.Receive(t, ended), context.Canceled)
	require.NoError(t, held.Rollback(t.Context()))
	require.NoError(t, waittest.Receive(t, stopped))
	require.Equal(t, 1, count(`SELECT count(*) FROM authsync.inbox`))
}

func TestMetricsAreForOperators(t *testing.T) {
	t.Parallel()
	in := install(t)

	t.Run("WithAKey", func(t *testing.T) {
		t.Parallel()
		a, _ := in.start(t, config.Roles{Receiver: true, API: true})
		status, text := get(t, a.URL()+"/metrics")
		require.Equal(t, http.StatusUnauthorized, status)
		require.Contains(t, text, "AUTHSYNC_METRICS_LISTEN")
		status, _ = getWith(t, a.URL()+"/metrics", "capy_live_"+"0000000000000000000000000000000000000000000", "")
		require.Equal(t, http.StatusUnauthorized, status)
		management := client.New(a.URL(), in.key)
		defer management.Close()
		limited, err := management.CreateKey(t.Context(), client.KeyOrder{Name: "limited", ProjectID: &in.projectID})
		require.NoError(t, err)
		status, _ = getWith(t, a.URL()+"/metrics", limited.Key, "")
		require.Equal(t, http.StatusForbidden, status)
		status, text = in.metrics(t, a.URL()+"/metrics")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, text, "authsync_http_connections")
	})

	t.Run("OfAProcessWithoutTheAPI", func(t *testing.T) {
		t.Parallel()
		a, _ := in.start(t, config.Roles{Worker: true})
		status, _ := get(t, a.URL()+"/metrics")
		require.Equal(t, http.StatusUnauthorized, status)
		status, _ = in.metrics(t, a.URL()+"/metrics")
		require.Equal(t, http.StatusOK, status)
	})

	t.Run("AtAnAddressOfTheirOwn", func(t *testing.T) {
		t.Parallel()
		a := in.startWith(t, func(c *config.Config) {
			c.Roles = config.Roles{Receiver: true}
			c.MetricsListen = "127.0.0.1:0"
		})
		defer func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) }()
		status, text := get(t, a.MetricsURL())
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, text, "authsync_http_connections")
		status, _ = in.metrics(t, a.URL()+"/metrics")
		require.Equal(t, http.StatusNotFound, status, "and nowhere else")
	})
}
