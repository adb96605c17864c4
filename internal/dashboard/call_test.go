package dashboard_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// scriptedAPI answers the attempts of a form one after another, and has nothing to list.
type scriptedAPI struct {
	attempts []http.HandlerFunc
	keys     []string // the Idempotency-Key of each
	down     bool     // lists cannot be read
}

func (a *scriptedAPI) ServeAs(w http.ResponseWriter, r *http.Request, _ project.Key) {
	if r.Method == http.MethodGet && a.down {
		problem.Write(w, r, http.StatusServiceUnavailable, "not now")
		return
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(`{"data": []}`))
		return
	}
	a.keys = append(a.keys, r.Header.Get("Idempotency-Key"))
	a.attempts[len(a.keys)-1](w, r)
}

func isAtWork(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, r, http.StatusConflict, "send it again", problem.Code("idempotency_key_in_use"))
}

func makesKey(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(`{"name": "x", "key": "capy_live_shown"}`))
}

// sendForm sends a form, as a browser that may leave.
func (b *testBundle) sendForm(ctx context.Context, path string, form url.Values, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://sync.test:8080"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

// sendKeyForm sends the form of a key.
func (b *testBundle) sendKeyForm(ctx context.Context, cookie *http.Cookie) *httptest.ResponseRecorder {
	return b.sendForm(ctx, "/keys", url.Values{"name": {"x"}, "once": {"random"}}, cookie)
}

// Browsers show the answer to the second of two clicks.
func TestAFormThatIsAtWorkIsWaitedFor(t *testing.T) {
	t.Parallel()
	api := &scriptedAPI{attempts: []http.HandlerFunc{isAtWork, isAtWork, makesKey}}
	b := setupWith(t, "", api)
	w := b.sendKeyForm(t.Context(), b.session(t))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Contains(t, w.Body.String(), "capy_live_shown")
	require.Len(t, api.keys, 3)
	require.NotEmpty(t, api.keys[0])
	require.Equal(t, []string{api.keys[0], api.keys[0]}, api.keys[1:])
}

// A browser drops the first of two requests; its work must not be left half done.
func TestAFormIsWorkedToItsEndWithoutItsBrowser(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	var during error
	b := setupWith(t, "", &scriptedAPI{attempts: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
		leave()
		during = r.Context().Err()
		makesKey(w, r)
	}}})
	b.sendKeyForm(ctx, b.session(t))
	require.Error(t, ctx.Err())
	require.NoError(t, during)
}

// The form is not shown again with another random text, by which its work would be done twice.
func TestAFormOfUnknownEffectIsNotOfferedAgain(t *testing.T) {
	t.Parallel()
	b := setupWith(t, "", &scriptedAPI{attempts: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, http.StatusConflict, "Look with GET", problem.Code("idempotency_outcome_unknown"))
	}}})
	w := b.sendKeyForm(t.Context(), b.session(t))
	require.Equal(t, http.StatusConflict, w.Code)
	require.NotContains(t, w.Body.String(), `name="once"`)
	require.Contains(t, w.Body.String(), "It is not known whether this was done")
}

// No later page has the key.
func TestANewKeyIsShownWithoutTheOthers(t *testing.T) {
	t.Parallel()
	b := setupWith(t, "", &scriptedAPI{attempts: []http.HandlerFunc{makesKey}, down: true})
	w := b.sendKeyForm(t.Context(), b.session(t))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Contains(t, w.Body.String(), "capy_live_shown")
	require.Contains(t, w.Body.String(), "The other keys cannot be listed now.")
}
