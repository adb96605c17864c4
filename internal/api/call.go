package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// answer is what a handler has to say; a nil body is none.
type answer struct {
	status   int
	body     any
	location string // path behind Prefix of what was made
	replayed bool   // it is the answer to an earlier call
}

// callState is what is known of a call while it is answered.
type callState struct {
	key          project.Key
	letIn        bool              // the key may make the call
	given        map[string]string // the parameters of the query
	bodyOptional bool
	bodyRead     bool
	body         []byte
	bodyKeys     []string // what the body may have, for errors
}

type callStateKey struct{}

// stateOf gives the state of a call; an empty one outside of any.
func stateOf(r *http.Request) *callState {
	if state, ok := r.Context().Value(callStateKey{}).(*callState); ok {
		return state
	}
	return &callState{}
}

// caller is the key that the request showed.
func caller(r *http.Request) project.Key { return stateOf(r).key }

// given are the parameters of the query; all are known ones, and none is empty.
func given(r *http.Request) map[string]string { return stateOf(r).given }

// call makes a handler of a route: it lets the right keys in, writes the answer
// or the problem, and logs what was changed and what went wrong.
func (a *API) call(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		state := &callState{bodyOptional: rt.body != bodyRequired}
		r = r.WithContext(context.WithValue(r.Context(), callStateKey{}, state))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		done, err := a.answer(rt, r, state)
		if err != nil && !state.letIn {
			a.refusedAtTheDoor(rt, r, state.key, err)
		}
		status := done.status
		if err == nil {
			err = writeAnswer(w, done)
		}
		if err != nil {
			status = writeError(w, r, err)
		}
		a.log(r, rt, state.key, status, time.Since(begun), err)
	})
}

// answer authenticates and checks a call, and makes it.
func (a *API) answer(rt route, r *http.Request, state *callState) (done answer, err error) {
	if state.key, err = a.authenticate(r); err != nil {
		return done, err
	}
	if rt.access == ofAll && state.key.ProjectID != nil {
		return done, errLimitedKey
	}
	if err := requireRole(r, rt.role); err != nil {
		return done, err
	}
	state.letIn = true
	if state.given, err = parseQuery(r, rt.query); err != nil {
		return done, err
	}
	if rt.body == noBody {
		if err := refuseBody(r); err != nil {
			return done, err
		}
	}
	return a.once(rt, r)
}

// requireRole refuses a call whose key has too weak a role. Each call needs the role of its route; handlers use it
// where something in the body needs a stronger one.
func requireRole(r *http.Request, need project.Role) error {
	key := caller(r)
	if key.May(need) {
		return nil
	}
	return fail(insufficientRole, "this key has the role %s, and this call needs %s: use a key with that role, or have one made with "+
		"authsync keys create NAME --role %[2]s", key.Role, need)
}

// handle runs the handler if the project has room for another call.
func (a *API) handle(rt route, r *http.Request) (answer, error) {
	subject := subjectOf(r, caller(r))
	if subject == "" {
		return rt.handle(r)
	}
	leave, ok := a.calls.enter(subject)
	if !ok {
		return answer{}, errProjectBusy
	}
	defer leave()
	return rt.handle(r)
}

func (a *API) log(r *http.Request, rt route, key project.Key, status int, took time.Duration, err error) {
	level := slog.LevelDebug
	switch {
	case errors.Is(r.Context().Err(), context.Canceled): // its sender is gone, which is no trouble of ours
	case status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case status >= http.StatusInternalServerError:
		level = slog.LevelError
	case rt.method != http.MethodGet:
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("method", rt.method),
		slog.String("route", rt.path),
		slog.Int("status", status),
		slog.Duration("duration", took),
		slog.String("request_id", problem.RequestID(r.Context())),
		slog.String("key_id", key.ID.String()),
	}
	if name, ok := mux.Vars(r)["project"]; ok {
		attrs = append(attrs, slog.String("project", name))
	}
	if err != nil && status >= http.StatusInternalServerError { // the text of a 4xx may quote the request
		attrs = append(attrs, slog.Any("error", err))
	}
	a.config.Log.LogAttrs(r.Context(), level, "management_call", attrs...)
}

// jobsPath names in the audit log what Unlimited guards.
const jobsPath = "/jobs"

// Unlimited makes a handler of requests that show a key which is not limited to a
// project. To others it answers as management calls do.
func (a *API) Unlimited(next func(http.ResponseWriter, *http.Request, project.Key)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		key, err := a.authenticate(r)
		if err == nil && key.ProjectID != nil {
			err = errLimitedKey
		}
		if err != nil {
			a.refusedAtTheDoor(route{method: http.MethodGet, path: jobsPath}, r, key, err)
			status := writeError(w, r, err)
			a.log(r, route{method: r.Method, path: r.URL.Path}, key, status, time.Since(begun), err)
			return
		}
		next(w, r, key)
	})
}

type signedInKey struct{}

// ServeAs answers a call as if it showed a key, which the caller has authenticated. The path begins behind Prefix.
// Web pages are made of such calls, so that they show and do nothing that the key may not.
func (a *API) ServeAs(w http.ResponseWriter, r *http.Request, key project.Key) {
	r = r.WithContext(context.WithValue(r.Context(), signedInKey{}, key))
	u := *r.URL
	u.Path = Prefix + u.Path
	if u.RawPath != "" {
		u.RawPath = Prefix + u.RawPath
	}
	r.URL = &u
	a.handler.ServeHTTP(w, r)
}

// authenticate finds the key that the request shows.
func (a *API) authenticate(r *http.Request) (project.Key, error) {
	if key, ok := r.Context().Value(signedInKey{}).(project.Key); ok {
		return key, nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "" {
		return project.Key{}, errNoCredentials
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return project.Key{}, errOtherScheme
	}
	key, err := a.config.Store.Authenticate(r.Context(), pasted.Unquote(secret))
	if expired, is := errors.AsType[*project.KeyExpiredError](err); is {
		return project.Key{}, fail(unauthenticated, "%s: use another one, or make one with authsync keys create", expired)
	}
	if errors.Is(err, project.ErrNoKey) {
		return project.Key{}, errUnknownKey
	}
	return key, err
}

// project finds the project that the path names. To a key that is limited to
// another one it does not exist.
func (a *API) project(r *http.Request) (project.Project, error) {
	name, err := variable(r, "project")
	if err != nil {
		return project.Project{}, err
	}
	p, err := a.config.Store.FindProject(r.Context(), name)
	limit := caller(r).ProjectID
	if errors.Is(err, project.ErrNoProject) || (err == nil && limit != nil && *limit != p.ID) {
		return project.Project{}, fail(fault.ProjectNotFound,
			"there is no project %.80q that this key may see: GET %s/projects lists those there are", name, Prefix)
	}
	return p, err
}

// variable is a part of the path, decoded.
func variable(r *http.Request, name string) (string, error) {
	text, err := url.PathUnescape(mux.Vars(r)[name])
	if err != nil {
		return "", fail(malformedRequest, "the path is not percent-encoded as it should be at {%s}", name)
	}
	if !storable(text) {
		return "", fail(pathNotFound, "the path holds, at {%s}, a character that no name or id can have", name)
	}
	return text, nil
}

func writeAnswer(w http.ResponseWriter, done answer) error {
	w.Header().Set("Cache-Control", "no-store")
	if done.location != "" {
		w.Header().Set("Location", Prefix+done.location)
	}
	if done.replayed {
		w.Header().Set(replayedHeader, "true")
	}
	if done.body == nil {
		w.WriteHeader(done.status)
		return nil
	}
	body, err := json.Marshal(done.body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(done.status)
	_, _ = w.Write(append(body, '\n')) // the caller may be gone; there is nobody to tell
	return nil
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, r, fail(pathNotFound, "there is nothing at this path: GET %s/openapi.yaml lists the paths there are", Prefix))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		var match mux.RouteMatch
		if a.router.Match(other, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problem.Write(w, r, http.StatusMethodNotAllowed,
		r.Method+" is no method of this path: it takes "+strings.Join(allowed, ", "))
}
