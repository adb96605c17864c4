package auth0

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// The keys of an entry's data and the relevant parts of its details.
const (
	entryDate    = "date"
	entryType    = "type"
	entryUserID  = "user_id"
	entryDetails = "details"
)

// entry is a log stream entry (Auth0's list of log event type codes). It reports an action and
// usually the user, but not the resulting profile.
type entry struct {
	d       provider.Message
	event   provider.Event
	sentAt  payload.Time
	userID  payload.Value
	details payload.Value
}

// decodeEntry translates a log stream entry: a deletion is applied, an entry about a user who may
// have changed requests a refresh, and everything else is ignored with a reason.
func decodeEntry(d provider.Message, env *envelope, ordinal int) provider.Event {
	en := entry{d: d, event: payload.New(d, ordinal)}
	e := &en.event
	idKey, id := "log_id", env.logID
	var date, typ payload.Value
	if env.data.IsObject() {
		for key, value := range env.data.Members() {
			switch string(key) {
			case entryDate:
				date = value
			case entryType:
				typ = value
			case entryUserID:
				en.userID = value
			case entryDetails:
				en.details = value
			case "log_id", "_id":
				if id.IsAbsent() || id.IsNull() {
					idKey, id = "data."+string(key), value
				}
			}
		}
	}
	if problem := payload.SetID(e, d, idKey, id); problem != "" {
		return payload.Failed(d, *e, problem)
	}
	if !env.data.IsObject() {
		return payload.Failed(d, *e, payload.NotObject("data", env.data))
	}
	en.sentAt = payload.SetSentAt(e, d, date)
	if problem := payload.SetType(e, "data.type", typ); problem != "" {
		return payload.Failed(d, *e, problem)
	}
	return en.verdict()
}

// verdict decides by type what happens to the entry.
func (en *entry) verdict() provider.Event {
	const owner = "data.user_id"
	switch en.event.Type {
	case "sdu": // deleted, by anyone
		return en.about(owner, en.userID, en.deletion)
	case "ss", "s", "scu", "scpn", "scp", "ublkdu", "sscim":
		// Signed up, logged in (which changes last_login and may create the user), changed
		// username, phone number or password, unblocked, changed by SCIM.
		return en.about(owner, en.userID, en.refresh)
	case "sce": // changed the e-mail address
		if id := member(en.details, "body", "user_id"); isGiven(id) {
			return en.about("data.details.body.user_id", id, en.refresh)
		}
		return en.about(owner, en.userID, en.refresh)
	case "sv": // verified it
		if id := member(en.details, "query", "user_id"); isGiven(id) {
			return en.about("data.details.query.user_id", id, en.refresh)
		}
		return en.about(owner, en.userID, en.refresh)
	case "sapi":
		return en.call()
	default:
		return payload.Ignored(en.event, whyIgnored(en.event.Type))
	}
}

// about finishes an entry whose user id is under a key.
func (en *entry) about(key string, id payload.Value, end func(userID string) provider.Event) provider.Event {
	if !isGiven(id) {
		return payload.Ignored(en.event, fmt.Sprintf(
			"an entry of type %s that names no user: authsync reconcile finds what it changed", en.event.Type))
	}
	userID, problem := payload.RecordID(key, id)
	if problem != "" {
		return payload.Failed(en.d, en.event, problem)
	}
	return end(userID)
}

// deletion uses the entry's date as its clock and has no profile.
func (en *entry) deletion(userID string) provider.Event {
	id, err := json.Marshal(userID)
	if err != nil { // impossible: it is valid UTF-8
		return payload.Failed(en.d, en.event, err.Error())
	}
	change := payload.Change{Mapping: users(), Path: "data", Deletes: true, SentAt: en.sentAt}
	change.Values[payload.ID] = id
	if en.sentAt.IsZero() {
		change.SentAt.Unreadable = false
		change.Note("data.date is no date that can be read: the time of receipt stands in for it")
	}
	return change.Apply(en.d, en.event)
}

func (en *entry) refresh(userID string) provider.Event {
	e := en.event
	e.UserID, e.At, e.Verdict = userID, e.SentAt, provider.Refresh
	return e
}

// call finishes an entry about a successful write to the Management API. Its user_id is the caller;
// the user affected is in the path, or in the response to a creation.
func (en *entry) call() provider.Event {
	method := strings.ToUpper(text(member(en.details, "request", "method")))
	path := text(member(en.details, "request", "path"))
	if method == "" || path == "" {
		return payload.Ignored(en.event, "a call of Auth0's Management API whose entry does not say which: authsync reconcile finds what it changed")
	}
	status := statusOf(en.details)
	segments := pathSegments(path)
	switch {
	case method == http.MethodGet || method == http.MethodHead:
		return payload.Ignored(en.event, "a call of Auth0's Management API that reads changes nothing")
	case status != "" && !strings.HasPrefix(status, "2"):
		return payload.Ignored(en.event, fmt.Sprintf("a call of Auth0's Management API that failed (status %.3s) changed nothing", status))
	case len(segments) == 1 && segments[0] == "users":
		return en.about("data.details.response.body.user_id", member(en.details, "response", "body", "user_id"), en.refresh)
	case len(segments) >= 2 && segments[0] == "users":
		return en.userCall(method, segments[1], len(segments) == 2 && status != "")
	case segments != nil && segments[0] == "connections" && method == http.MethodDelete:
		return payload.Ignored(en.event, "a connection or a part of it was deleted with its users, but the entry does not name them: "+
			"authsync reconcile finds them")
	default:
		return payload.Ignored(en.event, "a call of Auth0's Management API that changes no user's profile")
	}
}

// userCall finishes an entry about a call of /api/v2/users/{id} or below. Only a DELETE of the user
// that is known to have succeeded is a deletion.
func (en *entry) userCall(method, segment string, isWhole bool) provider.Event {
	userID, err := url.PathUnescape(segment)
	problem := ""
	if err != nil {
		problem = "data.details.request.path holds a user id that is not percent-encoded as paths are"
	} else {
		problem = payload.CheckRecordID("the user id in data.details.request.path", userID)
	}
	switch {
	case problem != "":
		return payload.Failed(en.d, en.event, problem)
	case method == http.MethodDelete && isWhole:
		return en.deletion(userID)
	default:
		return en.refresh(userID)
	}
}

// pathSegments returns what follows /api/v2/ in a path, still percent-encoded; nil for another
// path.
func pathSegments(path string) []string {
	path, _, _ = strings.Cut(path, "?")
	path, isAPI := strings.CutPrefix(strings.TrimRight(path, "/"), "/api/v2/")
	if !isAPI {
		return nil
	}
	return strings.Split(path, "/")
}

// statusOf returns the HTTP status of the response, or "" if the entry has none.
func statusOf(details payload.Value) string {
	status := member(details, "response", "statusCode")
	if status.IsNumber() {
		return string(status)
	}
	return text(status)
}

// whyIgnored explains why an entry's type is ignored, and what to do if it may have mattered.
func whyIgnored(typ string) string {
	switch {
	case typ == "sui" || typ == "fui":
		return "a bulk import ended, but its entry has no list of users: authsync reconcile finds them"
	case typ == "mgmt_api_read":
		return "a call of Auth0's Management API that reads changes nothing"
	case typ == "si" || strings.HasPrefix(typ, "organization"):
		return "an entry about organizations does not say what changed: they are mirrored from event streams"
	case strings.HasPrefix(typ, "directory_sync"):
		return "a directory sync names no users: authsync reconcile finds what it changed"
	case strings.HasPrefix(typ, "f") && !strings.Contains(typ, "_"):
		return fmt.Sprintf("an operation that failed (type %s) changed nothing", typ)
	default:
		return fmt.Sprintf("an entry of type %s changes no user's profile", typ)
	}
}

// member looks up nested keys; nil if one is missing.
func member(v payload.Value, path ...string) payload.Value {
	for _, key := range path {
		if !v.IsObject() {
			return nil
		}
		v = v.Member(key)
	}
	return v
}

// isGiven reports whether a value is set; Auth0's logs use empty strings and nulls for missing
// values.
func isGiven(v payload.Value) bool { return !v.IsAbsent() && !v.IsNull() && string(v) != `""` }

func text(v payload.Value) string {
	if !v.IsText() {
		return ""
	}
	s, _ := v.Text()
	return s
}
