package dashboard_test

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

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
