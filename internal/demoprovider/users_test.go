package demoprovider

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

// No web page and no other machine may change the users, though no key is needed.
func TestChangesComeFromThisMachineOnly(t *testing.T) {
	t.Parallel()
	sent := 0
	d := NewDemo(nil, time.Now)
	d.Send = func(context.Context, string, provider.Sample, bool) ([]byte, error) {
		sent++
		return nil, nil
	}
	const add = `{"action": "create","provider":"clerk","email":"ada@example.com"}`
	for name, c := range map[string]struct {
		host, kind, method, body string
		status                   int
	}{
		"FromHere":        {"127.0.0.1:4000", "application/json", http.MethodPost, add, 200},
		"ByName":          {"localhost:4000", "application/json; charset=utf-8", http.MethodPost, add, 200},
		"BySixthVersion":  {"[::1]:4000", "application/json", http.MethodPost, add, 200},
		"ByAnotherName":   {"evil.example.com", "application/json", http.MethodPost, add, 403},
		"FromAForm":       {"127.0.0.1:4000", "text/plain", http.MethodPost, add, 415},
		"UnknownKey":      {"127.0.0.1:4000", "application/json", http.MethodPost, `{"action": "create","provider":"clerk","name":"x"}`, 400},
		"UnknownProvider": {"127.0.0.1:4000", "application/json", http.MethodPost, `{"action": "create","provider":"okta"}`, 422},
		"AnotherProvider": {"127.0.0.1:4000", "application/json", http.MethodPost, `{"action": "create","provider":"workos"}`, 422},
		"UnknownAction":   {"127.0.0.1:4000", "application/json", http.MethodPost, `{"action":"ban","provider":"clerk"}`, 422},
		"UnknownUser":     {"127.0.0.1:4000", "application/json", http.MethodPost, `{"action":"update","provider":"clerk","id":"x"}`, 404},
		"UnknownMethod":   {"127.0.0.1:4000", "application/json", http.MethodDelete, add, 405},
		"ListOfNobody":    {"127.0.0.1:4000", "", http.MethodGet, "", 400},
		"NotJSON":         {"127.0.0.1:4000", "application/json", http.MethodPost, `{`, 400},
	} {
		before := sent
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/users", strings.NewReader(c.body))
		r.Host = c.host
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, "%s: %s", name, w.Body)
		require.Equal(t, c.status == http.StatusOK, sent > before, name)
	}
}

func TestStateIsKept(t *testing.T) {
	t.Parallel()
	d := NewDemo(nil, time.Now)
	d.Send = func(context.Context, string, provider.Sample, bool) ([]byte, error) { return nil, nil }
	u, err := d.Apply(t.Context(), Change{Action: Create, Provider: "better-auth", Profile: Profile{FirstName: `Zoë "Z"`}})
	require.NoError(t, err)
	_, err = d.Apply(t.Context(), Change{Action: Delete, Provider: "clerk", ID: ClerkID(7)})
	require.NoError(t, err)
	state := d.State("http://127.0.0.1:1")
	again := NewDemo(&state, time.Now)
	require.Equal(t, state, again.State("http://127.0.0.1:1"))
	newest, total, err := again.Newest(provider.BetterAuth, 1)
	require.NoError(t, err)
	require.Equal(t, betterAuthUsers+1, total)
	require.Equal(t, u.Object, newest[0].Object)
	require.Equal(t, `Zoë "Z" Noether`, newest[0].Object["name"])
	_, known := again.number(provider.Clerk, ClerkID(7))
	require.False(t, known)
}
