package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
	files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.GreaterOrEqual(t, len(files), 3, "icon, style and script")
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

func TestAKeyInTheHeaderIsTheAPIsToJudge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.do(t, request{method: http.MethodGet, path: "/river/api/jobs", cookie: b.session(t), header: map[string]string{"Authorization": "Bearer x"}})
	require.Equal(t, http.StatusTeapot, w.Code, "no session makes up for a wrong key")
}
