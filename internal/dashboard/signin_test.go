package dashboard_test

import (
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestSignInLeadsToThePageThatWasAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sent := b.get(t, "/river/jobs?state=available", nil)
	require.Equal(t, http.StatusSeeOther, sent.Code)
	require.Equal(t, "/sign-in?next=%2Friver%2Fjobs%3Fstate%3Davailable", sent.Header().Get("Location"))

	form := b.get(t, sent.Header().Get("Location"), nil)
	require.Equal(t, http.StatusOK, form.Code)
	require.Equal(t, "text/html; charset=utf-8", form.Header().Get("Content-Type"))
	require.Contains(t, form.Body.String(), `name="next" value="/river/jobs?state=available"`)
	require.Contains(t, form.Body.String(), `type="password"`)
	require.NotContains(t, form.Body.String(), `role="alert"`)
	require.Contains(t, form.Header().Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")

	in := b.enter(t, "  "+b.secret+"\n", "/river/jobs?state=available")
	require.Equal(t, http.StatusSeeOther, in.Code)
	require.Equal(t, "/river/jobs?state=available", in.Header().Get("Location"))
	require.Len(t, in.Result().Cookies(), 1)
	cookie := in.Result().Cookies()[0]
	require.Equal(t, "/", cookie.Path)
	require.Equal(t, 12*60*60, cookie.MaxAge)
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	require.Equal(t, http.StatusOK, b.get(t, in.Header().Get("Location"), cookie).Code)

	again := b.get(t, "/sign-in?next=/river/queues", cookie)
	require.Contains(t, again.Body.String(), "Ada&#39;s laptop")
	require.Contains(t, again.Body.String(), `href="/river/queues"`)

	out := b.post(t, "/sign-out", "", cookie)
	require.Equal(t, http.StatusSeeOther, out.Code)
	require.Equal(t, "/sign-in", out.Header().Get("Location"))
	require.Len(t, out.Result().Cookies(), 1)
	require.Negative(t, out.Result().Cookies()[0].MaxAge)
	require.Empty(t, out.Result().Cookies()[0].Value)

	require.Contains(t, b.log.String(), `"msg":"signed_in","key_id":"`+b.key.ID.String())
	require.NotContains(t, b.log.String(), b.secret[len(project.TestPrefix):])
}

func TestSignInRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, revoked, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "revoked"})
	require.NoError(t, err)
	require.NoError(t, b.store.RevokeKey(t.Context(), old.ID))

	for name, tc := range map[string]struct {
		secret, says string
		status       int
	}{
		"NoKey":      {"", "unknown or was revoked", http.StatusUnauthorized},
		"WrongKey":   {b.secret[:len(b.secret)-1] + "~", "unknown or was revoked", http.StatusUnauthorized},
		"RevokedKey": {revoked, "unknown or was revoked", http.StatusUnauthorized},
		"TooLong":    {strings.Repeat("k", 9<<10), "could not be read", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := b.enter(t, tc.secret, "/river/queues")
			require.Equal(t, tc.status, w.Code)
			require.Contains(t, w.Body.String(), `role="alert"`)
			require.Contains(t, w.Body.String(), tc.says)
			require.Empty(t, w.Result().Cookies())
			if tc.status != http.StatusBadRequest {
				require.Contains(t, w.Body.String(), `value="/river/queues"`, "the way back is kept")
			}
			if tc.secret != "" {
				require.NotContains(t, w.Body.String(), tc.secret)
				require.NotContains(t, b.log.String(), tc.secret)
			}
			require.Contains(t, b.log.String(), "sign_in_refused")
		})
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	over := func(t *testing.T, b *testBundle, cookie *http.Cookie) {
		t.Helper()
		require.Equal(t, http.StatusSeeOther, b.get(t, "/river/", cookie).Code)
		w := b.get(t, "/river/api/jobs", cookie)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.Contains(t, w.Body.String(), "sign in at /sign-in")
		require.Contains(t, b.get(t, "/sign-in", cookie).Body.String(), `type="password"`)
	}
	good := func(t *testing.T, b *testBundle, cookie *http.Cookie) {
		t.Helper()
		require.Equal(t, http.StatusOK, b.get(t, "/river/api/jobs", cookie).Code)
	}

	t.Run("WhenTheKeyIsRevoked", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cookie := b.session(t)
		good(t, b, cookie)
		require.NoError(t, b.store.RevokeKey(t.Context(), b.key.ID))
		over(t, b, cookie)
	})

	t.Run("WhenTheKeyExpires", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		end := b.now.Add(time.Hour)
		_, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "for an hour", ExpiresAt: &end})
		require.NoError(t, err)
		cookie := b.sessionOf(t, secret)
		b.now = end.Add(-time.Second)
		good(t, b, cookie)
		b.now = end
		over(t, b, cookie)
		again := b.enter(t, secret, "")
		require.Equal(t, http.StatusUnauthorized, again.Code)
		require.Contains(t, again.Body.String(), "This key expired at "+end.UTC().Format(time.DateTime)+" UTC.")
	})

	t.Run("AfterTwelveHours", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cookie := b.session(t)
		b.now = b.now.Add(12*time.Hour - time.Second)
		good(t, b, cookie)
		b.now = b.now.Add(time.Second)
		over(t, b, cookie)
	})

	t.Run("WhenTheCookieWasAltered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cookie := b.session(t)
		sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
		require.NoError(t, err)
		plain, err := b.ring.Open(sealed, "dashboard session")
		require.NoError(t, err)
		elsewhere, err := b.ring.Seal(plain, "integration", "credentials")
		require.NoError(t, err)
		sealed[len(sealed)-1] ^= 1
		for name, value := range map[string]string{
			"one bit":                        base64.RawURLEncoding.EncodeToString(sealed),
			"sealed for something else":      base64.RawURLEncoding.EncodeToString(elsewhere),
			"not sealed":                     base64.RawURLEncoding.EncodeToString(plain),
			"not base64":                     "~",
			"empty":                          "",
			"the key itself":                 b.secret,
			"the id of the key, as it reads": b.key.ID.String(),
		} {
			t.Log(name)
			over(t, b, &http.Cookie{Name: cookie.Name, Value: value})
		}
		good(t, b, cookie)
	})

	t.Run("ButNotWhenTheDatabaseIsAway", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		cookie := b.session(t)
		b.pool.Close()
		for _, path := range []string{"/river/", "/river/api/jobs"} {
			w := b.get(t, path, cookie)
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.NotEmpty(t, w.Header().Get("Retry-After"))
		}
		page := b.get(t, "/", cookie)
		require.Equal(t, http.StatusServiceUnavailable, page.Code)
		require.Contains(t, page.Body.String(), "Not available now")
		require.NotContains(t, page.Body.String(), "/river/", "who may open what is not known")
		require.Contains(t, page.Body.String(), "Sign out")
		w := b.enter(t, b.secret, "")
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "Try again in a few seconds")
	})
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for next, want := range map[string]string{
		"/river/jobs/17?state=running":  "/river/jobs/17?state=running",
		"/river/a%20b":                  "/river/a%20b",
		"/river":                        "/river/",
		"/river/":                       "/river/",
		"":                              "/",
		"/":                             "/",
		"/?cursor=x":                    "/?cursor=x",
		"/projects":                     "/",
		"/projects/a/events?type=x%26y": "/projects/a/events?type=x%26y",
		"/projects/a/records/membership/org_1%2Fauth0%7C1": "/projects/a/records/membership/org_1%2Fauth0%7C1",
		"/projects/../sign-out":                            "/",
		"/projects/%2e%2e/sign-out":                        "/",
		"/projects/%2e%2e%2fsign-out":                      "/",
		"/projectsevil/":                                   "/",
		"river/jobs":                                       "/",
		"/riverside/":                                      "/",
		"/river/../sign-out":                               "/",
		"/river/%2e%2e/api/x":                              "/",
		"/river/x/../../api/x":                             "/",
		"%":                                                "/",
		"/river/\nX: y":                                    "/",
		"javascript:alert(1)//river/":                      "/",
		"javascript:alert(1)//projects/":                   "/",
		"https://evil.example/":                            "/",
		"//evil.example/":                                  "/",
		"///evil.example/":                                 "/",
		"/%2F/evil.example/":                               "/",
		`/\evil.example/river/`:                            "/",
		`/river\..\..\evil`:                                "/",
		`/river/\evil.example`:                             "/river/%5Cevil.example",
		"https://evil.example/river/x":                     "/river/x",
		"//evil.example//river/x":                          "/river/x",
		"////river/x":                                      "/river/x",
		"/river/..//river//x":                              "/river/x",
	} {
		w := b.enter(t, b.secret, next)
		require.Equal(t, http.StatusSeeOther, w.Code)
		require.Equal(t, want, w.Header().Get("Location"), "%q", next)
		page := b.get(t, "/sign-in?next="+url.QueryEscape(next), nil)
		require.Contains(t, page.Body.String(), `name="next" value="`+html.EscapeString(want)+`"`, "%q", next)
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	b := setupAt(t, "https://sync.example.com/")
	cookie, id := b.session(t), b.job(t)
	post := func(path string, header map[string]string) int {
		w := b.do(t, request{method: http.MethodPost, path: path, cookie: cookie, header: header, body: idsOf(id)})
		if w.Code == http.StatusForbidden {
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), "AUTHSYNC_PUBLIC_URL")
		}
		return w.Code
	}
	for _, path := range []string{"/river/api/jobs/delete", "/river/api/jobs/cancel", "/sign-in", "/sign-out"} {
		for _, header := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Site": "same-site"},
			{"Origin": "https://evil.example"},
			{"Origin": "null"},
			{"Origin": "https://sync.example.com:8443"},
		} {
			require.Equal(t, http.StatusForbidden, post(path, header), "%s %v", path, header)
		}
	}
	require.Equal(t, "available", b.state(t, id))
	require.Equal(t, http.StatusOK, post("/river/api/jobs/cancel", map[string]string{"Origin": "https://sync.example.com"}))
	require.Equal(t, "cancelled", b.state(t, id))
	require.Equal(t, http.StatusOK, post("/river/api/jobs/delete", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "null"}))
	require.Empty(t, b.state(t, id))
}

// A key that is limited to a project signs in, and opens everything but River UI.
func TestALimitedKeyDoesNotOpenRiverUI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, err := b.store.CreateProject(t.Context(), "shop", "postgres://shop:x@db.example.com/shop", false)
	require.NoError(t, err)
	_, limited, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "limited", ProjectID: &shop.ID})
	require.NoError(t, err)
	in := b.enter(t, limited, "/river/jobs")
	require.Equal(t, http.StatusSeeOther, in.Code)
	cookie, id := in.Result().Cookies()[0], b.job(t)

	page := b.get(t, "/river/jobs", cookie)
	require.Equal(t, http.StatusForbidden, page.Code)
	require.Contains(t, page.Body.String(), "Not with this key")
	require.NotContains(t, page.Body.String(), "root")
	require.Equal(t, http.StatusForbidden, b.get(t, "/river/api/jobs", cookie).Code)
	require.Equal(t, http.StatusForbidden, b.post(t, "/river/api/jobs/delete", idsOf(id), cookie).Code)
	require.Equal(t, "available", b.state(t, id))
}

func TestProgramsReadAProblemWhereThereIsNoPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie := b.session(t)
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodPost, "/", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPost, "/projects/a/events", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodGet, "/sign-out", http.StatusMethodNotAllowed, "POST"},
		{http.MethodPut, "/sign-in", http.StatusMethodNotAllowed, "GET, HEAD, POST"},
		{http.MethodGet, "/assets/nonsense", http.StatusNotFound, ""},
		{http.MethodGet, "/river/authsync/nonsense", http.StatusNotFound, ""},
	} {
		w := b.do(t, request{method: tc.method, path: tc.path, cookie: cookie})
		require.Equal(t, tc.status, w.Code, tc.path)
		require.Equal(t, tc.allow, w.Header().Get("Allow"), tc.path)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), tc.path)
	}
}

// What the API refuses is not the server's fault, and the API has logged it.
func TestARefusalIsNoErrorInTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusNotFound, b.get(t, "/", b.session(t)).Code)
	require.Contains(t, b.log.String(), "projects_not_listed")
	require.NotContains(t, b.log.String(), `"level":"ERROR"`)
}

func TestWrongKeysAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	enter := func(from, key string) *httptest.ResponseRecorder {
		return b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {key}}, from: from})
	}
	for _, addresses := range [][2]string{{"192.0.2.7:1", "192.0.2.8:1"}, {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1"}} {
		one, other := addresses[0], addresses[1]
		for range 10 {
			require.Equal(t, http.StatusUnauthorized, enter(one, "capy_live_wrong").Code)
		}
		require.Equal(t, http.StatusSeeOther, enter(other, b.secret).Code, "others are not limited")
		limited := enter(one, b.secret)
		require.Equal(t, http.StatusTooManyRequests, limited.Code)
		require.Equal(t, "61", limited.Header().Get("Retry-After"))
		require.Empty(t, limited.Result().Cookies())
		require.Contains(t, limited.Body.String(), "Too many wrong keys")
	}
	require.Equal(t, http.StatusTooManyRequests, enter("[2001:db8::2]:1", b.secret).Code, "it has the whole network")
	b.now = b.now.Add(time.Minute)
	require.Equal(t, http.StatusSeeOther, enter("192.0.2.7:1", b.secret).Code)
	for range 20 {
		require.Equal(t, http.StatusSeeOther, enter("192.0.2.7:1", b.secret).Code, "right ones are not counted")
	}
}

// A proxy on this machine that is not listed brings everybody: whoever tries keys must not lock the others out.
func TestWrongKeysDoNotLockOutAProxyOnThisMachine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, from := range []string{"127.0.0.1:1", "[::1]:1"} {
		for _, key := range append(slices.Repeat([]string{"capy_live_wrong"}, 10), b.secret) {
			w := b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {key}}, from: from})
			require.Equal(t, key == b.secret, w.Code == http.StatusSeeOther)
			require.Equal(t, key != b.secret, w.Code == http.StatusUnauthorized)
		}
	}
}

// Otherwise any number of keys could be tried, as long as none of them has its answer.
func TestWrongKeysAreLimitedWhileTheyAreLookedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var looked atomic.Int32
	begun, goOn := make(chan struct{}), make(chan struct{})
	b.beforeSignIn = func() {
		if looked.Add(1) <= 10 {
			begun <- struct{}{}
			<-goOn
		}
	}
	codes := make(chan int)
	for range 10 {
		go func() {
			codes <- b.sendForm(t.Context(), dashboard.SignInPath, url.Values{"key": {"capy_live_wrong"}}).Code
		}()
		waittest.Receive(t, begun)
	}
	require.Equal(t, http.StatusTooManyRequests, b.enter(t, b.secret, "").Code)
	close(goOn)
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, waittest.Receive(t, codes))
	}
	require.Equal(t, http.StatusTooManyRequests, b.enter(t, b.secret, "").Code)
	require.Equal(t, 10, strings.Count(b.log.String(), `"level":"WARN","msg":"sign_in_refused"`), "nor is the log filled")
	b.now = b.now.Add(time.Minute)
	require.Equal(t, http.StatusSeeOther, b.enter(t, b.secret, "").Code)
}
