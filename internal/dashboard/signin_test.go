package dashboard_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
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
