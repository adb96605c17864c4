package api

import (
	"net/http"
	"sync"

	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/project"
)

// maxCallsPerProject bounds the calls at work for one project in a process. Many of them wait for the
// project's own database, which may be slow: then these fill up, and no other project's calls wait.
const maxCallsPerProject = 8

var errProjectBusy = fail(tooManyRequests,
	"%d calls for this project are at work in this process already, perhaps because the project's database is slow: try again when one has ended",
	maxCallsPerProject)

// maxPreviewsPerProject bounds the calls of a project that run expressions which nobody has stored. Each holds one of the few
// worker processes of package jq, which the events and deliveries of all projects wait for; no halt stops an expression that is
// another one with every call.
const maxPreviewsPerProject = 1

var errPreviewing = fail(tooManyRequests, "another request of this project is being previewed: try again when that has ended")

// bulkhead counts the calls at work, by project.
type bulkhead struct {
	most int // of a project

	mu     sync.Mutex
	atWork map[string]int
}

// enter counts a call in; ok is false if there are too many already. The caller must leave.
func (b *bulkhead) enter(subject string) (leave func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.atWork[subject] >= b.most {
		return nil, false
	}
	if b.atWork == nil {
		b.atWork = map[string]int{}
	}
	b.atWork[subject]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.atWork[subject]--; b.atWork[subject] == 0 {
			delete(b.atWork, subject)
		}
	}, true
}

// subjectOf is what the calls of a request count for: the project that the key is limited to, otherwise
// the one that the path names; empty: none.
func subjectOf(r *http.Request, key project.Key) string {
	if key.ProjectID != nil {
		return key.ProjectID.String()
	}
	return mux.Vars(r)["project"]
}
