package dashboard

import (
	"context"
	"net/http"
	"strings"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// Audit records actions; see audit.Log.
type Audit interface {
	Begin(ctx context.Context, o audit.Origin, a audit.Action) (int64, error)
	Finish(ctx context.Context, id int64, r audit.Result) error
	Do(ctx context.Context, o audit.Origin, a audit.Action, act func(*audit.Result) error) error
}

// Refusals counts refused attempts; see audit.Refusals.
type Refusals interface{ Add(one audit.Refusal) }

// origin is who sent a request, and from where; a nil key is none.
func (d *Dashboard) origin(r *http.Request, key *project.Key) audit.Origin {
	o := audit.Origin{
		Actor: audit.Unknown, Via: audit.ViaDashboard, Address: d.config.Proxies.Of(r), UserAgent: r.UserAgent(), RequestID: problem.RequestID(r.Context()),
	}
	if key != nil {
		o.Actor, o.Key = audit.Key, key
	}
	return o
}

// refused counts an attempt that was refused.
func (d *Dashboard) refused(r *http.Request, key *project.Key, action string, status int, code string) {
	d.config.Refusals.Add(audit.Refusal{Origin: d.origin(r, key), Action: audit.Action{Name: action}, Status: status, Code: code})
}

// Actions that are none of the API.
const (
	signInAction = "session.create"
	// otherJobAction is a change in River UI that riverAction does not know.
	otherJobAction = "job.update"
)

// riverAction names a change in River UI, such as job.cancel, and what it is about: a queue, or nothing, because the jobs
// are in the body.
func riverAction(r *http.Request) audit.Action {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, RiverPath+"/api/"), "/"), "/")
	last := parts[len(parts)-1]
	switch {
	case parts[0] == "jobs" && (last == "cancel" || last == "delete" || last == "retry"):
		return audit.Action{Name: "job." + last}
	case parts[0] == "queues" && len(parts) > 1 && (last == "pause" || last == "resume"):
		return audit.Action{Name: "queue." + last, ObjectID: parts[1]}
	case parts[0] == "queues" && len(parts) > 1:
		return audit.Action{Name: "queue.update", ObjectID: parts[1]}
	default:
		return audit.Action{Name: otherJobAction}
	}
}

// audited keeps the status of an answer.
type audited struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *audited) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// resultOf is how a call of River UI ended.
func (w *audited) result() audit.Result {
	if w.status >= http.StatusBadRequest {
		return audit.Result{Outcome: audit.Failed, Status: w.status}
	}
	return audit.Result{Outcome: audit.Succeeded, Status: w.status}
}
