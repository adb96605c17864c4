package dashboard_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/project"
)

func TestAuditLogShowsWhatFormsDid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	create := s.get(t, "/keys", s.all).form(t, "/keys")
	create.values.Set("name", hostile)
	require.Equal(t, http.StatusOK, s.post(t, create, s.all).status)
	page := s.get(t, "/audit", s.all)
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.words, "key.create")
	require.Contains(t, page.words, "dashboard 127.0.0.1", "the address of the browser")
	require.NotContains(t, page.text, hostile)
	require.Contains(t, page.text, `href="/audit" aria-current="page"`)

	require.Contains(t, s.get(t, "/audit?action=project", s.all).words, "No action matches")
	require.Contains(t, s.get(t, "/audit?action=key&outcome=succeeded", s.all).words, "key.create")
	wrong := s.get(t, "/audit?since=yore", s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Contains(t, wrong.words, "since must be a time")

	// Of a project, and who may see it.
	form := s.get(t, s.path(), s.all).forms(s.path())[0]
	require.Equal(t, http.StatusSeeOther, s.post(t, form, s.all).status)
	own := s.get(t, s.path("audit"), s.limited)
	require.Contains(t, own.words, "project.update")
	require.NotContains(t, own.words, "key.create")
	require.Equal(t, http.StatusForbidden, s.get(t, "/audit", s.limited).status, "it is of all projects")
	require.Equal(t, http.StatusNotFound, s.get(t, s.path("audit"), s.foreign).status)
	reader := s.enter(t, project.KeyInput{Name: "reader", Role: project.Operator})
	refused := s.get(t, "/audit", reader)
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Contains(t, refused.words, "shown to keys with the role admin")
	require.NotContains(t, s.get(t, s.path(), reader).text, "/audit")
}

// Who signs in is on record, and who tries to.
func TestSignInsAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	attempt := func(secret string) int {
		return b.enter(t, secret, "").Code
	}
	require.Equal(t, http.StatusSeeOther, attempt(b.secret))
	for range 3 {
		require.Equal(t, http.StatusUnauthorized, attempt(b.secret+"x"))
	}
	b.refusals.Write(t.Context())
	entries, err := b.audit.List(t.Context(), audit.Filter{Action: "session.create"}, nil, 10)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	outcomes := map[string]audit.Entry{entries[0].Outcome: entries[0], entries[1].Outcome: entries[1]}
	require.Equal(t, b.key.ID, *outcomes[audit.Succeeded].KeyID)
	require.Nil(t, outcomes[audit.Refused].KeyID)
	require.EqualValues(t, 3, outcomes[audit.Refused].RequestCount)
	require.NotContains(t, string(outcomes[audit.Refused].Changes), "capy_")
}

// River UI changes jobs without the API, so the dashboard itself records that.
func TestChangesOfJobsAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie := b.session(t)
	for path, action := range map[string]string{"jobs/cancel": "job.cancel", "jobs/retry": "job.retry", "jobs/delete": "job.delete", "queues/relay/pause": "queue.pause"} {
		method := http.MethodPost
		if strings.HasPrefix(path, "queues") {
			method = http.MethodPut
		}
		b.do(t, request{method: method, path: "/river/api/" + path, cookie: cookie, body: `{"ids": [1]}`})
		entries, err := b.audit.List(t.Context(), audit.Filter{Action: action}, nil, 10)
		require.NoError(t, err)
		require.Len(t, entries, 1, action)
		require.NotEqual(t, audit.Pending, entries[0].Outcome)
		require.Equal(t, b.key.ID, *entries[0].KeyID)
	}
	b.do(t, request{method: http.MethodGet, path: "/river/api/jobs", cookie: cookie})
	all, err := b.audit.List(t.Context(), audit.Filter{}, nil, 10)
	require.NoError(t, err)
	require.Len(t, all, 5, "four changes and the sign-in: reading is no change")
}
