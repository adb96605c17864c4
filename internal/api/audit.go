package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// Audit records what is done and reads it; see audit.Log.
type Audit interface {
	Begin(ctx context.Context, o audit.Origin, a audit.Action) (int64, error)
	Finish(ctx context.Context, id int64, r audit.Result) error
	List(ctx context.Context, f audit.Filter, after *audit.Place, limit int) ([]audit.Entry, error)
}

// Refusals counts attempts that are refused at the door; see audit.Refusals.
type Refusals interface{ Add(one audit.Refusal) }

// recorded makes a call and records it. Without a row of the log the call is not made. A GET changes nothing and has none,
// nor has a preview: the dashboard asks for one whenever somebody who fills in a form stops typing.
func (a *API) recorded(rt route, r *http.Request) (answer, error) {
	if rt.method == http.MethodGet || strings.HasSuffix(rt.path, "/preview") {
		return a.handle(rt, r)
	}
	action := a.actionOf(rt, r)
	id, err := a.config.Audit.Begin(r.Context(), a.origin(r, caller(r)), action)
	if err != nil {
		return answer{}, err
	}
	done, err := a.handle(rt, r)
	if e := a.config.Audit.Finish(r.Context(), id, a.resultOf(r, action, done, err)); e != nil {
		a.config.Log.ErrorContext(r.Context(), "audit_result_not_recorded", slog.Any("error", e),
			slog.Int64("audit_id", id), slog.String("request_id", problem.RequestID(r.Context())))
	}
	return done, err
}

// refusedAtTheDoor counts a call that was refused before its handler, for want of a key or of rights.
func (a *API) refusedAtTheDoor(rt route, r *http.Request, key project.Key, err error) {
	f := describe(err)
	if status := statusOf(f.Code); status == http.StatusUnauthorized || status == http.StatusForbidden {
		a.config.Refusals.Add(audit.Refusal{
			Origin: a.origin(r, key), Action: audit.Action{Name: ActionOf(rt.method, rt.path)}, Status: status, Code: f.Code,
		})
	}
}

// origin is who makes a call, and from where.
func (a *API) origin(r *http.Request, key project.Key) audit.Origin {
	o := audit.Origin{Actor: audit.Unknown, Via: audit.ViaAPI, UserAgent: r.UserAgent(), RequestID: problem.RequestID(r.Context())}
	if key.ID != uuid.Nil {
		o.Actor, o.Key = audit.Key, &key
	}
	if _, signedIn := r.Context().Value(signedInKey{}).(project.Key); signedIn {
		o.Via = audit.ViaDashboard
	}
	if a.config.Address != nil {
		o.Address = a.config.Address(r)
	}
	return o
}

// actionOf is what a call is about, as far as its path says.
func (a *API) actionOf(rt route, r *http.Request) audit.Action {
	action := audit.Action{Name: ActionOf(rt.method, rt.path)}
	if _, named := mux.Vars(r)["project"]; named {
		// Also one that the key may not see: that somebody tried is worth knowing.
		if name, err := variable(r, "project"); err == nil {
			if p, err := a.config.Store.FindProject(r.Context(), name); err == nil {
				action.ProjectID, action.ProjectName = &p.ID, p.Name
			}
		}
	}
	for _, name := range []string{"provider", "event", "user", "record_id", "destination", "delivery", "key"} {
		text, given := mux.Vars(r)[name]
		if !given {
			continue
		}
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		switch {
		case name == "user", name == "record_id", name == "key" && uuid.Validate(text) != nil, !plainID.MatchString(text):
			text = audit.Digest(a.config.Digester, text)
		}
		action.ObjectID = text
	}
	return action
}

// plainID is the form of ids and names that are authsync's own. Anything else may be a secret in the wrong place, or
// the id of a person.
var plainID = regexp.MustCompile(`^[a-z0-9][a-z0-9_:.-]{0,62}$`)

// resultOf is how a call ended.
func (a *API) resultOf(r *http.Request, action audit.Action, done answer, err error) audit.Result {
	if err != nil {
		f := describe(err)
		result := audit.Result{Outcome: audit.Failed, Status: statusOf(f.Code), Code: f.Code}
		if result.Status == http.StatusForbidden {
			result.Outcome = audit.Refused
		}
		return result
	}
	result := audit.Result{Outcome: audit.Succeeded, Status: done.status, Changes: audit.Changes(a.config.Digester, stateOf(r).body)}
	if done.status != http.StatusCreated {
		return result
	}
	var made struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if text, e := json.Marshal(done.body); e == nil && json.Unmarshal(text, &made) == nil {
		result.ObjectID = made.ID
		if id, e := uuid.Parse(made.ID); e == nil && action.Name == "project.create" {
			result.ProjectID, result.ProjectName = &id, made.Name
		}
	}
	return result
}

// ActionOf names what a call does by its method and path: an object and a verb, such as destination.pause.
func ActionOf(method, path string) string {
	var last, before string // the last two parts that are no variable
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for _, part := range parts {
		if !strings.HasPrefix(part, "{") {
			before, last = last, part
		}
	}
	object := singular(last)
	switch ofOne := strings.HasPrefix(parts[len(parts)-1], "{"); {
	case method == http.MethodGet && ofOne:
		return object + ".get"
	case method == http.MethodGet:
		return object + ".list"
	case last == "keys" && method == http.MethodDelete:
		return "key.revoke"
	case last == "backfill" || last == "reconcile":
		return last + map[string]string{http.MethodPost: ".start", http.MethodDelete: ".cancel"}[method]
	case method == http.MethodDelete:
		return object + ".delete"
	case method == http.MethodPut, method == http.MethodPatch:
		return object + ".update"
	case strings.HasSuffix(last, "s"):
		return object + ".create"
	default:
		return singular(before) + "." + strings.ReplaceAll(last, "-", "_")
	}
}

// singular is the name of one of those that a part of a path lists.
func singular(plural string) string {
	name := strings.ReplaceAll(plural, "-", "_")
	if stem, is := strings.CutSuffix(name, "ies"); is {
		return stem + "y"
	}
	return strings.TrimSuffix(name, "s")
}
