package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Events reads what happened to deliveries and takes them up again; see inbox.Inbox.
type Events interface {
	Events(ctx context.Context, f inbox.Filter, cursor string, limit int) (page []inbox.Event, next string, err error)
	Event(ctx context.Context, inboxID int64, ordinal int) (inbox.Event, error)
	Body(ctx context.Context, inboxID int64) (inbox.StoredMessage, error)
	Jobs(ctx context.Context, inboxID int64, ordinal int) ([]inbox.Job, error)
	Neighbours(ctx context.Context, e inbox.Event) (previous, next *inbox.EventRef, err error)
	Replay(ctx context.Context, f inbox.Filter, cursor string, patience time.Duration) (inbox.Replayed, error)
	SecretUses(ctx context.Context, projectID uuid.UUID, providerName string) ([]inbox.SecretUse, error)
	CountReplay(ctx context.Context, f inbox.Filter, cursor string, most int) (messages int, err error)
}

func eventID(inboxID int64, ordinal int) string { return fmt.Sprintf("%d.%d", inboxID, ordinal) }

func eventIDOrNull(ref *inbox.EventRef) *string {
	if ref == nil {
		return nil
	}
	id := eventID(ref.InboxID, ref.Ordinal)
	return &id
}

func eventOf(e inbox.Event) wire.Event {
	return wire.Event{
		ID: eventID(e.InboxID, e.Ordinal), InboxID: e.InboxID, Ordinal: e.Ordinal, ProjectID: e.ProjectID.String(), Project: e.Project,
		Provider: e.Provider, EventID: e.EventID, Type: e.Type, UserID: e.UserID, RecordType: e.RecordType, RecordID: e.RecordID, EventTime: utc(e.EventTime), Outcome: e.Outcome,
		Reason: e.Reason, ReceivedAt: e.ReceivedAt.UTC(), AppliedAt: utc(e.AppliedAt), MessageID: e.MessageID,
	}
}

func jobOf(j inbox.Job) wire.Job {
	j.NextTryAt = utc(j.NextTryAt)
	return wire.Job(j)
}

// eventFilter is what narrows events, in a query and in the body of a replay.
type eventFilter struct {
	Outcome  string `json:"outcome"`
	Provider string `json:"provider"`
	Type     string `json:"type"`
	UserID   string `json:"user_id"`
	// RecordType and RecordID come together.
	RecordType string `json:"record_type"`
	RecordID   string `json:"record_id"`
	EventID    string `json:"event_id"`
	Since      string `json:"since"`
	Until      string `json:"until"`
}

// replayOrder is the body of a replay.
type replayOrder struct {
	eventFilter

	// DryRun says to count, and do nothing.
	DryRun bool `json:"dry_run"`
	// Cursor continues a replay that an earlier call began with the same filter.
	Cursor string `json:"cursor"`
}

// of makes the filter; in is where it was sent.
func (f eventFilter) of(in string, projectID uuid.UUID) (inbox.Filter, error) {
	filter := inbox.Filter{ProjectID: projectID, Outcome: f.Outcome, Type: f.Type, UserID: f.UserID, EventID: f.EventID}
	outcomes := []string{inbox.Pending, inbox.Applied, inbox.Stale, inbox.Duplicate, inbox.Ignored, inbox.Failed}
	err := among(in, "outcome", f.Outcome, outcomes)
	if err != nil {
		return filter, err
	}
	if err := recordNamed(in, f.RecordType, f.RecordID); err != nil {
		return filter, err
	}
	filter.RecordType, filter.RecordID = f.RecordType, f.RecordID
	if f.Provider != "" {
		if filter.Provider, err = provider.ParseName(f.Provider); err != nil {
			return filter, wrong(in, "provider", problem.Invalid, "%v", err)
		}
	}
	if filter.From, err = moment(in, "since", f.Since); err != nil {
		return filter, err
	}
	if filter.To, err = moment(in, "until", f.Until); err != nil {
		return filter, err
	}
	if !filter.To.IsZero() && !filter.From.Before(filter.To) {
		return filter, wrong(in, "until", problem.Invalid, "until must be later than since")
	}
	return filter, nil
}

// recordNamed refuses what names no record; both empty is not given.
func recordNamed(in, recordType, recordID string) error {
	if err := among(in, "record_type", recordType, record.Names()); err != nil {
		return err
	}
	if (recordType == "") != (recordID == "") {
		return wrong(in, "record_id", problem.Invalid, "record_type and record_id are given together, such as organization and org_123")
	}
	return nil
}

func moment(in, name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		hint := ""
		if in == inQuery {
			hint = "; in a query, a plus sign is written %2B"
		}
		return time.Time{}, wrong(in, name, problem.Invalid, "%s must be a time as in 2026-05-04T10:20:30Z%s", name, hint)
	}
	return t, nil
}

// maxPartOfID is how much of an id is looked for, in bytes.
const maxPartOfID = 200

func (a *API) listEvents(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	given := given(r)
	filter, err := eventFilter{
		Outcome: given["outcome"], Provider: given["provider"], Type: given["type"], UserID: given["user_id"],
		RecordType: given["record_type"], RecordID: given["record_id"],
		EventID: given["event_id"], Since: given["since"], Until: given["until"],
	}.of(inQuery, p.ID)
	if err != nil {
		return answer{}, err
	}
	if filter.IDContains = given["id_contains"]; len(filter.IDContains) > maxPartOfID {
		return answer{}, wrong(inQuery, "id_contains", problem.Invalid, "id_contains has %d bytes: at most %d can be looked for", len(filter.IDContains), maxPartOfID)
	}
	events, next, err := a.config.Events.Events(r.Context(), filter, given["cursor"], limit)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: newPage(each(events, eventOf), next)}, nil
}

func (a *API) getEvent(r *http.Request) (answer, error) {
	e, err := a.event(r)
	if err != nil {
		return answer{}, err
	}
	jobs, err := a.config.Events.Jobs(r.Context(), e.InboxID, e.Ordinal)
	if err != nil {
		return answer{}, err
	}
	previous, next, err := a.config.Events.Neighbours(r.Context(), e)
	if err != nil {
		return answer{}, err
	}
	detail := wire.EventDetail{
		Event: eventOf(e), Jobs: each(jobs, jobOf), PreviousEvent: eventIDOrNull(previous), NextEvent: eventIDOrNull(next),
	}
	switch given(r)["body"] {
	case "", "false":
		return answer{status: http.StatusOK, body: detail}, nil
	case "true":
	default:
		return answer{}, wrong(inQuery, "body", problem.Invalid, "body must be true or false")
	}

	d, err := a.config.Events.Body(r.Context(), e.InboxID)
	if err != nil {
		return answer{}, err
	}
	a.config.Log.LogAttrs(r.Context(), slog.LevelInfo, "message_body_shown",
		slog.String("project_id", e.ProjectID.String()), slog.Int64("inbox_id", e.InboxID),
		slog.String("key_id", caller(r).ID.String()), slog.String("request_id", problem.RequestID(r.Context())))
	body := wire.Message{EventDetail: detail, Headers: d.Headers, Excluded: d.Excluded}
	if body.Excluded == nil {
		body.Excluded = []string{}
	}
	if d.VerifiedBy != "" {
		body.VerifiedBy = &d.VerifiedBy
	}
	if text := string(d.Body); utf8.ValidString(text) {
		body.Body = &text
	} else {
		text = base64.StdEncoding.EncodeToString(d.Body)
		body.BodyBase64 = &text
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// event finds the event that the path names, of the project that the path names.
func (a *API) event(r *http.Request) (inbox.Event, error) {
	p, err := a.project(r)
	if err != nil {
		return inbox.Event{}, err
	}
	text, err := variable(r, "event")
	if err != nil {
		return inbox.Event{}, err
	}
	first, second, found := strings.Cut(text, ".")
	inboxID, err := strconv.ParseInt(first, 10, 64)
	ordinal := int64(0)
	if err == nil && found {
		ordinal, err = strconv.ParseInt(second, 10, 32)
	}
	if err != nil {
		return inbox.Event{}, fail(fault.EventNotFound,
			"there is no event %.80q: GET …/events lists events by their ids, such as 17.0, and takes a provider's as event_id", text)
	}
	e, err := a.config.Events.Event(r.Context(), inboxID, int(ordinal))
	if err == nil && e.ProjectID != p.ID {
		err = inbox.ErrNoEvent
	}
	return e, err
}

// replayEvent takes up one event again. An event that failed is tried now, with
// the others of its delivery that failed; else its whole delivery goes through
// again, which changes nothing that was applied.
func (a *API) replayEvent(r *http.Request) (answer, error) {
	e, err := a.event(r)
	if err != nil {
		return answer{}, err
	}
	filter := inbox.Filter{ProjectID: e.ProjectID, InboxIDs: []int64{e.InboxID}}
	if e.Outcome == inbox.Failed {
		filter.Outcome = inbox.Failed
	}
	return a.replay(r, filter, "")
}

// replayEvents takes up all events that the body's filter chooses, or counts them; an empty
// object chooses all that the inbox still holds of the project.
func (a *API) replayEvents(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in replayOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	filter, err := in.of(inBody, p.ID)
	if err != nil {
		return answer{}, err
	}
	if in.DryRun {
		matched, err := a.config.Events.CountReplay(r.Context(), filter, in.Cursor, wire.MaxMatched)
		return answer{status: http.StatusOK, body: wire.Replay{DryRun: true, Matched: &matched}}, err
	}
	return a.replay(r, filter, in.Cursor)
}

// replayPatience is after how long a call answers that it shall be continued: before a proxy gives up waiting for it.
const replayPatience = 10 * time.Second

func (a *API) replay(r *http.Request, f inbox.Filter, cursor string) (answer, error) {
	done, err := a.config.Events.Replay(r.Context(), f, cursor, replayPatience)
	if err != nil {
		return answer{}, err
	}
	body := wire.Replay{Jobs: done.Jobs}
	if done.Next != "" {
		body.NextCursor = &done.Next
	}
	return answer{status: http.StatusAccepted, body: body}, nil
}
