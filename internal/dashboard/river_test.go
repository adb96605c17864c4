package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

func idsOf(id int64) string { return fmt.Sprintf(`{"ids": ["%d"]}`, id) }

func TestRiverUIStandsBelowItsPath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie := b.session(t)
	w := b.get(t, "/river", cookie)
	require.Equal(t, http.StatusMovedPermanently, w.Code)
	require.Equal(t, "/river/", w.Header().Get("Location"))

	page := b.get(t, "/river/", cookie)
	require.Equal(t, http.StatusOK, page.Code)
	require.Regexp(t, `"apiUrl":\s*"/river/api"`, page.Body.String())
	files := regexp.MustCompile(`(?:src|href)="([^"]+\.\w+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.GreaterOrEqual(t, len(files), 5, "icon, styles and scripts")
	var kinds []string
	for _, file := range files {
		require.True(t, strings.HasPrefix(file[1], "/river/"), file[1])
		got := b.get(t, file[1], cookie)
		require.Equal(t, http.StatusOK, got.Code, file[1])
		require.NotEmpty(t, got.Body.Bytes())
		kinds = append(kinds, got.Header().Get("Content-Type"))
		require.Equal(t, http.StatusSeeOther, b.get(t, file[1], nil).Code, "nothing without a session")
	}
	require.Subset(t, kinds, []string{"text/javascript; charset=utf-8", "text/css; charset=utf-8"})
	require.Equal(t, http.StatusUnauthorized, b.post(t, "/river/", "", nil).Code, "only who reads a page is led to the sign-in")
	require.Equal(t, http.StatusOK, b.get(t, "/river/jobs/17", cookie).Code, "a page of the application in the browser")
}

func TestRiverUIShowsAndChangesJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie, id := b.session(t), b.job(t)

	w := b.get(t, "/river/api/jobs?state=available", cookie)
	require.Equal(t, http.StatusOK, w.Code)
	var list struct {
		Data []struct {
			ID    int64          `json:"id"`
			Kind  string         `json:"kind"`
			Queue string         `json:"queue"`
			Args  map[string]any `json:"args"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Len(t, list.Data, 1)
	require.Equal(t, id, list.Data[0].ID)
	require.Equal(t, "retry_event", list.Data[0].Kind)
	require.InEpsilon(t, 42, list.Data[0].Args["inbox_id"], 0)
	require.Contains(t, b.get(t, "/river/api/states", cookie).Body.String(), `"available":1`)

	require.Equal(t, http.StatusUnauthorized, b.post(t, "/river/api/jobs/cancel", idsOf(id), nil).Code)
	require.Equal(t, "available", b.state(t, id))
	require.Equal(t, http.StatusOK, b.post(t, "/river/api/jobs/cancel", idsOf(id), cookie).Code)
	require.Equal(t, "cancelled", b.state(t, id))
	require.Equal(t, http.StatusOK, b.post(t, "/river/api/jobs/retry", idsOf(id), cookie).Code)
	require.Equal(t, "available", b.state(t, id))
	require.Equal(t, http.StatusOK, b.post(t, "/river/api/jobs/delete", idsOf(id), cookie).Code)
	require.Empty(t, b.state(t, id))
	require.Regexp(t, `"msg":"river_ui_call","method":"POST","path":"/river/api/jobs/delete","request_id":"\w+","key_id":"`+b.key.ID.String(), b.log.String())

	long := `{"ids": [` + strings.Repeat(`"1",`, 20_000) + `"1"]}`
	require.Equal(t, http.StatusRequestEntityTooLarge, b.post(t, "/river/api/jobs/retry", long, cookie).Code)
}

// Whoever may look sees all of River UI, and whoever may operate may do all that it can.
func TestRiverUIChangesNothingForAKeyThatMayOnlyLook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.job(t)
	cookieOf := func(role project.Role) *http.Cookie {
		_, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x", Role: role})
		require.NoError(t, err)
		return b.sessionOf(t, secret)
	}
	reader, operator := cookieOf(project.ReadOnly), cookieOf(project.Operator)
	for _, path := range []string{"/river/", "/river/jobs", "/river/api/jobs?state=available", "/river/api/queues", "/river/api/states"} {
		require.Equal(t, http.StatusOK, b.get(t, path, reader).Code, path)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{"/river/api/jobs/cancel", "/river/api/jobs/delete", "/river/api/queues/default/pause"} {
			w := b.do(t, request{method: method, path: path, body: idsOf(id), cookie: reader})
			require.Equal(t, http.StatusForbidden, w.Code, "%s %s", method, path)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), `"code":"insufficient_role"`)
			require.Contains(t, w.Body.String(), "this key has the role read_only, and River UI needs operator to change anything")
		}
	}
	require.Equal(t, "available", b.state(t, id))
	require.NotContains(t, b.log.String(), `"msg":"river_ui_call","method":"POST"`)
	require.Equal(t, http.StatusOK, b.post(t, "/river/api/jobs/cancel", idsOf(id), operator).Code)
	require.Equal(t, "cancelled", b.state(t, id))
}

func TestAKeyInTheHeaderIsTheAPIsToJudge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.do(t, request{method: http.MethodGet, path: "/river/api/jobs", cookie: b.session(t), header: map[string]string{"Authorization": "Bearer x"}})
	require.Equal(t, http.StatusTeapot, w.Code, "no session makes up for a wrong key")
}

func TestRiverUIHasAWayBackAndAWayOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie := b.session(t)
	for _, path := range []string{"/river/", "/river/jobs", "/river/queues/default"} {
		page := b.get(t, path, cookie)
		require.Equal(t, http.StatusOK, page.Code)
		text := page.Body.String()
		require.Equal(t, strconv.Itoa(len(text)), page.Header().Get("Content-Length"))
		require.Contains(t, text, `<a href="/">authsync</a>`)
		require.Contains(t, text, `<form method="post" action="/sign-out">`)
		require.Regexp(t, `(?s)<div id="root".*id="authsync-bar"`, text, "beside the application, which owns its root alone")
	}
	require.NotContains(t, b.get(t, "/river/api/states", cookie).Body.String(), "authsync-bar")
	out := b.do(t, request{method: http.MethodPost, path: "/sign-out", cookie: cookie, header: map[string]string{"Sec-Fetch-Site": "same-origin"}})
	require.Equal(t, http.StatusSeeOther, out.Code)
}

// The policy forbids scripts in the page and code made of text. River UI's bundle would try the latter once,
// unless it is told not to; should another version do more, this finds it.
func TestRiverUIWorksUnderThePolicy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie := b.session(t)
	page := b.get(t, "/river/", cookie)
	policy := page.Header().Get("Content-Security-Policy")
	require.NotContains(t, policy, "unsafe-eval")
	require.NotContains(t, policy, "script-src", "scripts come from here alone, by default-src")

	scripts := regexp.MustCompile(`<script([^>]*)>`).FindAllStringSubmatch(page.Body.String(), -1)
	require.Len(t, scripts, 3)
	var ours, theirs string
	for _, script := range scripts {
		if strings.Contains(script[1], `type="application/json"`) {
			continue // data, which is not run
		}
		source := regexp.MustCompile(`src="([^"]+)"`).FindStringSubmatch(script[1])
		require.NotNil(t, source, "a script in the page would not run")
		if source[1] == "/river/authsync/bar.js" {
			ours = source[1]
			require.NotRegexp(t, "defer|async|module", script[1], "it runs where it stands")
			continue
		}
		theirs = source[1]
		require.Contains(t, script[1], `type="module"`, "it runs when the page has been read, and so after ours")
	}
	require.NotEmpty(t, ours)
	require.Contains(t, b.get(t, ours, cookie).Body.String(), "__zod_globalConfig = { jitless: true }")

	bundle := b.get(t, theirs, cookie).Body.String()
	made := regexp.MustCompile(`\beval\(|\bFunction\(|setTimeout\(["'\x60]`).FindAllStringIndex(bundle, -1)
	require.Len(t, made, 1, "one place where text would be made code")
	require.Contains(t, bundle[max(0, made[0][0]-200):made[0][0]], ".jitless", "which asks first")
	require.Contains(t, bundle, "globalThis.__zod_globalConfig")
}
