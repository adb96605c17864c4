package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
)

func TestCallsNeedAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	revoked, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "revoked"})
	require.NoError(t, err)
	require.NoError(t, b.store.RevokeKey(t.Context(), revoked.ID))

	for name, tc := range map[string]struct{ header, want string }{
		"NoHeader":    {"", "send the header Authorization: Bearer"},
		"OtherScheme": {"Basic " + b.key, "must begin with Bearer"},
		"NoKey":       {"Bearer ", "unknown or was revoked"},
		"UnknownKey":  {"Bearer capy_live_0000000000000000000000000000000000000000000", "unknown or was revoked"},
		"RevokedKey":  {"Bearer " + secret, "unknown or was revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.Prefix+"/projects", http.NoBody)
			if tc.header != "" {
				r.Header.Set("Authorization", tc.header)
			}
			answer := b.send(t, r)
			answer.refused(t, http.StatusUnauthorized, tc.want)
			require.Equal(t, `Bearer realm="authsync"`, answer.header.Get("WWW-Authenticate"))
		})
	}
	t.Run("SchemeInSmallLettersIsFine", func(t *testing.T) {
		t.Parallel()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.Prefix+"/projects", http.NoBody)
		r.Header.Set("Authorization", "bearer "+b.key)
		require.Equal(t, http.StatusOK, b.send(t, r).status)
	})
}

func TestLimitedKeySeesItsProjectOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, other := b.project(t, "mine"), b.project(t, "other")
	key := b.limitedKey(t, mine)

	list := b.callWith(t, key, http.MethodGet, "/projects", "").data(t)
	require.Len(t, list, 1)
	require.Equal(t, http.StatusOK, b.callWith(t, key, http.MethodGet, "/projects/mine", "").status)
	require.Equal(t, http.StatusOK, b.callWith(t, key, http.MethodPut, "/projects/mine/integrations/auth0", "{}").status)

	theirs := b.callWith(t, key, http.MethodGet, "/projects/other", "")
	nobodys := b.callWith(t, key, http.MethodGet, "/projects/other2", "")
	theirs.refused(t, http.StatusNotFound, "no project")
	require.Equal(t, strings.ReplaceAll(fmt.Sprint(nobodys.body["detail"]), "other2", "other"), theirs.body["detail"],
		"it cannot tell another's project from none")
	for _, path := range []string{"/integrations", "/integrations/auth0", "/events", "/events/1.0", "/users/1", "/records/user", "/records/membership/o%2Fu", "/destinations", "/destinations/x", "/deliveries", "/deliveries/1"} {
		b.callWith(t, key, http.MethodGet, "/projects/"+other.ID.String()+path, "").refused(t, http.StatusNotFound, "no project")
	}
	b.callWith(t, key, http.MethodPut, "/projects/other/integrations/auth0", "{}").refused(t, http.StatusNotFound, "no project")

	for _, call := range [][2]string{
		{http.MethodPost, "/projects"},
		{http.MethodPatch, "/projects/mine"},
		{http.MethodDelete, "/projects/mine"},
		{http.MethodPost, "/keys"},
		{http.MethodGet, "/keys"},
		{http.MethodDelete, "/keys/" + uuid.NewString()},
	} {
		b.callWith(t, key, call[0], call[1], "{}").refused(t, http.StatusForbidden, "limited to one project")
	}
}

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.call(t, http.MethodGet, "/nothing", "").refused(t, http.StatusNotFound, "nothing at this path")
	b.call(t, http.MethodGet, "//projects", "").refused(t, http.StatusNotFound, "nothing at this path")
	answer := b.call(t, http.MethodPut, "/projects/x", "")
	answer.refused(t, http.StatusMethodNotAllowed, "it takes GET, PATCH, DELETE")
	require.Equal(t, "GET, PATCH, DELETE", answer.header.Get("Allow"))
}

func TestBodiesAreReadStrictly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tc := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"Empty":          {"", http.StatusBadRequest, "must be a JSON object"},
		"NoJSON":         {`{"name": s3cret}`, http.StatusBadRequest, "not JSON: see byte 10"},
		"TwoObjects":     {`{} {}`, http.StatusBadRequest, "not JSON"},
		"Array":          {`[]`, http.StatusBadRequest, "must be a JSON object"},
		"Null":           {`null`, http.StatusBadRequest, "must be a JSON object"},
		"UnknownKey":     {`{"title": "s3cret"}`, http.StatusUnprocessableEntity, `unknown field "title": it takes name, database_url`},
		"CapitalLetters": {`{"Name": "s3cret"}`, http.StatusUnprocessableEntity, `"Name"`},
		"WrongType":      {`{"name": {"s3cret": 1}}`, http.StatusUnprocessableEntity, "name must be a string"},
		"WrongValue":     {`{"name": "-"}`, http.StatusUnprocessableEntity, "1 to 63"},
		"EmptyURL":       {`{"name": "x", "database_url": ""}`, http.StatusUnprocessableEntity, "leave it out"},
		"TooLarge":       {`{"name": "` + strings.Repeat("x", 64<<10) + `"}`, http.StatusRequestEntityTooLarge, "larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := b.call(t, http.MethodPost, "/projects", tc.body)
			answer.refused(t, tc.status, tc.want)
			require.NotContains(t, answer.text, "s3cret")
		})
	}
}

// What PostgreSQL cannot hold, and a query that cannot be read, are the caller's mistakes.
func TestOddCharactersAreTheCallersMistake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "demo")
	for path, status := range map[string]int{
		"/projects/%00":                                  http.StatusNotFound,
		"/projects/%ff":                                  http.StatusNotFound,
		"/projects/demo/users/a%00b":                     http.StatusNotFound,
		"/projects/demo/events/1.99999999999":            http.StatusNotFound,
		"/projects/demo/events?user_id=%00":              http.StatusUnprocessableEntity,
		"/projects/demo/events?user_id=%ff":              http.StatusUnprocessableEntity,
		"/projects/demo/events?user_id=%zz":              http.StatusBadRequest,
		"/projects/demo/events?user_id=a;outcome=failed": http.StatusBadRequest,
		"/projects/demo/events?cursor=1-99999999999":     http.StatusUnprocessableEntity,
		"/projects?cursor=" + "cHJvamVjdHM6AA":           http.StatusUnprocessableEntity,
	} {
		require.Equal(t, status, b.call(t, http.MethodGet, path, "").status, path)
	}
	require.Equal(t, http.StatusUnprocessableEntity, b.call(t, http.MethodPost, "/keys", `{"name": "a\u0000"}`).status)
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/keys", `{"name": "a\\u0000"}`).status, "a backslash, u and zeros")
	require.Equal(t, http.StatusBadRequest, b.call(t, http.MethodPost, "/keys", "{\"name\": \"a\xff\"}").status)
}

func TestOurOwnTroubleIsNotTheCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")

	b.mirror.failWith(errors.New("the secret cause"))
	answer := b.call(t, http.MethodGet, "/projects/shop/users/1", "")
	answer.refused(t, http.StatusInternalServerError, "under the id of this request")
	require.NotContains(t, answer.text, "secret cause")
	require.Contains(t, b.log.String(), "the secret cause")
	require.Contains(t, b.log.String(), answer.header.Get("X-Request-Id"))

	away, err := pgdb.Open(t.Context(), "postgres://nobody@127.0.0.1:1/nowhere", pgdb.Options{})
	require.NoError(t, err)
	t.Cleanup(away.Close)
	b.pool = away
	b.serve(t, b.mirror, b.mirror, "")
	answer = b.call(t, http.MethodGet, "/projects", "")
	answer.refused(t, http.StatusServiceUnavailable, "database cannot be reached now")
	require.Equal(t, "5", answer.header.Get("Retry-After"))
}

// A command that gives up waiting, or a browser that goes on, is no trouble of the server's.
func TestCallerWhoIsGoneIsNoWarning(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`).status)
	for _, call := range []struct{ method, path, body string }{
		{http.MethodGet, "/projects/shop/events", ""},
		{http.MethodGet, "/projects/shop/users/u1", ""},
		{http.MethodGet, "/projects/shop/deliveries", ""},
		{http.MethodPatch, "/projects/shop", `{"name": "store"}`},
	} {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		r := httptest.NewRequestWithContext(ctx, call.method, api.Prefix+call.path, strings.NewReader(call.body))
		r.Header.Set("Authorization", "Bearer "+b.key)
		r.Header.Set("Content-Type", "application/json")
		b.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	require.Equal(t, 4, strings.Count(b.log.String(), `"status":503`), b.log.String())
	require.NotContains(t, b.log.String(), `"level":"WARN"`)
	require.NotContains(t, b.log.String(), `"level":"ERROR"`)
}

func TestChangesAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`).status)
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, "/projects/shop/integrations/auth0",
		`{"credentials": {"webhook_signing_secret": "s3cret-of-auth0-51ac"}}`).status)
	require.Contains(t, b.log.String(), `"msg":"management_call","method":"PUT","route":"/projects/{project}/integrations/{provider}","status":200`)
	require.Contains(t, b.log.String(), `"project":"shop"`)
	require.NotContains(t, b.log.String(), "s3cret")
	require.NotContains(t, b.log.String(), b.key)
}

// Web pages call with the key of their session: its limits are those of a key that is shown.
func TestServeAsAnswersAsIfTheKeyWereShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, other := b.project(t, "mine"), b.project(t, "other")
	key, _, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "limited", ProjectID: &mine.ID})
	require.NoError(t, err)
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		b.handler.ServeAs(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody), key)
		return w.Code, w.Body.String()
	}
	status, text := ask("/projects")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, mine.ID.String())
	require.NotContains(t, text, other.ID.String())
	status, _ = ask("/projects/" + other.ID.String())
	require.Equal(t, http.StatusNotFound, status)
	status, _ = ask("/keys")
	require.Equal(t, http.StatusForbidden, status)
	status, text = ask("/projects/mine/users/a%2Fb")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, text, "user_not_found")
	require.Contains(t, b.log.String(), key.ID.String())
}
