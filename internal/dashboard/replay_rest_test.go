package dashboard_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/project"
)

// longReplay is an API in which a replay takes two calls.
type longReplay struct{ sent []string }

func (l *longReplay) ServeAs(w http.ResponseWriter, r *http.Request, _ project.Key) {
	answer := `{"id": "p", "name": "shop", "data": []}`
	if strings.HasSuffix(r.URL.Path, "/events/replay") {
		text, _ := io.ReadAll(r.Body)
		var in struct {
			DryRun bool   `json:"dry_run"`
			Cursor string `json:"cursor"`
		}
		_ = json.Unmarshal(text, &in)
		switch {
		case in.DryRun:
			answer = `{"jobs": 0, "dry_run": true, "matched": 7, "next_cursor": null}`
		case in.Cursor == "":
			answer = `{"jobs": 4, "dry_run": false, "next_cursor": "9-2-0"}`
		default:
			answer = `{"jobs": 4, "dry_run": false, "next_cursor": null}`
		}
		l.sent = append(l.sent, string(text))
	}
	_, _ = io.WriteString(w, answer)
}

func TestALongReplayIsContinued(t *testing.T) {
	t.Parallel()
	api := &longReplay{}
	b := setupWith(t, "", api)
	cookie := b.session(t)
	page := dashboard.ProjectsPath + "/p/replay"
	send := func(form url.Values) string {
		w := b.do(t, request{method: http.MethodPost, path: page, form: form, cookie: cookie})
		require.Equal(t, http.StatusSeeOther, w.Code, "%s", w.Body)
		return w.Header().Get("Location")
	}
	require.Contains(t, b.get(t, page+"?type=user.created", cookie).Body.String(), ">Replay 7</button>")
	next := send(url.Values{"type": {"user.created"}, "once": {"1"}})
	require.Equal(t, page+"?rest=9-2-0&type=user.created", next)
	rest := b.get(t, next, cookie).Body.String()
	require.Contains(t, rest, `<input type="hidden" name="rest" value="9-2-0">`)
	require.Contains(t, rest, ">Continue</button>")
	require.Equal(t, dashboard.ProjectsPath+"/p/events?type=user.created", send(url.Values{"type": {"user.created"}, "rest": {"9-2-0"}, "once": {"2"}}))
	require.Equal(t, []string{
		`{"dry_run":true,"type":"user.created"}`, `{"type":"user.created"}`,
		`{"cursor":"9-2-0","dry_run":true,"type":"user.created"}`, `{"cursor":"9-2-0","type":"user.created"}`,
	}, api.sent)
}
