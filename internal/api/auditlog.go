package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/problem"
)

// Orders of the audit log.
const (
	newestFirst = "newest_first"
	oldestFirst = "oldest_first"
)

// listAudit lists the audit log of all projects, and what belongs to none.
func (a *API) listAudit(r *http.Request) (answer, error) { return a.auditPage(r, audit.Filter{}) }

// listProjectAudit lists that of a project.
func (a *API) listProjectAudit(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	return a.auditPage(r, audit.Filter{ProjectID: &p.ID})
}

func (a *API) auditPage(r *http.Request, f audit.Filter) (answer, error) {
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	if f, err = auditFilter(given(r), f); err != nil {
		return answer{}, err
	}
	var after *audit.Place
	if cursor := given(r)["cursor"]; cursor != "" {
		if after, err = auditPlace(cursor); err != nil {
			return answer{}, err
		}
	}
	list, err := a.config.Audit.List(r.Context(), f, after, limit+1)
	if err != nil {
		return answer{}, err
	}
	next := ""
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		next = strconv.FormatInt(last.OccurredAt.UnixMicro(), 10) + "-" + strconv.FormatInt(last.ID, 10)
	}
	return answer{status: http.StatusOK, body: newPage(each(list, auditEntryOf), next)}, nil
}

// auditFilter reads the filter of a query.
func auditFilter(given map[string]string, f audit.Filter) (_ audit.Filter, err error) {
	f.Action, f.Outcome = given["action"], given["outcome"]
	if err := among(inQuery, "outcome", f.Outcome, []string{audit.Pending, audit.Succeeded, audit.Failed, audit.Refused}); err != nil {
		return f, err
	}
	if text := given["key_id"]; text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return f, wrong(inQuery, "key_id", problem.Invalid, "key_id must be the id of a key, as GET /keys lists it")
		}
		f.KeyID = &id
	}
	if f.Since, err = moment(inQuery, "since", given["since"]); err != nil {
		return f, err
	}
	if f.Until, err = moment(inQuery, "until", given["until"]); err != nil {
		return f, err
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return f, wrong(inQuery, "until", problem.Invalid, "until must be later than since")
	}
	order := given["order"]
	f.OldestFirst = order == oldestFirst
	return f, among(inQuery, "order", order, []string{newestFirst, oldestFirst})
}

// auditPlace reads the cursor of a page.
func auditPlace(cursor string) (*audit.Place, error) {
	at, id, _ := strings.Cut(cursor, "-")
	micros, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return nil, fault.ErrBadCursor
	}
	place := &audit.Place{At: time.UnixMicro(micros)}
	if place.ID, err = strconv.ParseInt(id, 10, 64); err != nil || place.ID < 1 {
		return nil, fault.ErrBadCursor
	}
	return place, nil
}

func auditEntryOf(e audit.Entry) wire.AuditEntry {
	entry := wire.AuditEntry{
		ID: e.ID, OccurredAt: e.OccurredAt.UTC(), FinishedAt: utc(e.FinishedAt), Actor: e.Actor, KeyID: idOrNull(e.KeyID), KeyName: e.KeyName,
		KeyRole: e.KeyRole, Via: e.Via, Action: e.Action, ProjectID: idOrNull(e.ProjectID), ProjectName: e.ProjectName, ObjectID: e.ObjectID,
		UserAgent: e.UserAgent, RequestID: e.RequestID, RequestCount: e.RequestCount, Outcome: e.Outcome, Status: e.Status, Code: e.Code,
		Changes: e.Changes,
	}
	if e.RemoteAddress != nil {
		address := e.RemoteAddress.String()
		entry.RemoteAddress = &address
	}
	return entry
}
