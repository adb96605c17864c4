package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/tenantdb"
)

// pauseDestination keeps what is to be sent until the destination is resumed.
func (a *API) pauseDestination(r *http.Request) (answer, error) {
	_, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.PauseOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if len(in.Reason) > wire.MaxPauseReason {
		return answer{}, wrongField("reason", "reason has %d bytes: it takes at most %d", len(in.Reason), wire.MaxPauseReason)
	}
	if err := a.config.Deliveries.Pause(r.Context(), d.ID, project.ByPerson, project.Paused, in.Reason); err != nil {
		return answer{}, err
	}
	return a.again(r, d)
}

func (a *API) resumeDestination(r *http.Request) (answer, error) {
	_, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.config.Deliveries.Resume(r.Context(), d.ID); err != nil {
		return answer{}, err
	}
	return a.again(r, d)
}

// again answers with a destination as it is after a change.
func (a *API) again(r *http.Request, d project.Destination) (answer, error) {
	d, err := a.config.Store.FindDestination(r.Context(), d.ProjectID, d.ID.String())
	if err != nil {
		return answer{}, err
	}
	return a.shown(r, d, nil)
}

func (a *API) rotateSecret(r *http.Request) (answer, error) {
	p, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.RotateOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	d, secret, err := a.config.Store.RotateSecret(r.Context(), p.ID, d.ID.String(), in.Value)
	if err != nil {
		return answer{}, err
	}
	return a.shown(r, d, &secret)
}

// previewDestination shows what would be sent, and sends nothing.
func (a *API) previewDestination(r *http.Request) (answer, error) {
	p, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.PreviewOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	ref, err := previewedRecord(in)
	if err != nil {
		return answer{}, err
	}
	preview, err := a.config.Deliveries.Preview(r.Context(), p.ID, d.ID, ref, in.ChangeID)
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: previewOf(preview)}, nil
}

// previewDraft shows what a destination would be sent if it were created, and creates nothing.
func (a *API) previewDraft(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.DraftOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	given, err := destinationInput{in.Name, in.EventTypes, in.Fields, in.Condition, in.Holdback, in.Options, in.Secrets}.given()
	if err != nil {
		return answer{}, err
	}
	ref, err := previewedRecord(in.PreviewOrder)
	if err != nil {
		return answer{}, err
	}
	leave, ok := a.previews.enter(p.ID.String())
	if !ok {
		return answer{}, errPreviewing
	}
	defer leave()
	d, config, err := a.config.Store.DraftDestination(p.ID, in.Type, given)
	if err != nil {
		return answer{}, err
	}
	draft := admin.Draft{Type: d.Type, EventTypes: d.EventTypes, Fields: d.Fields, Condition: d.Condition, Config: config}
	preview, err := a.config.Deliveries.PreviewDraft(r.Context(), p.ID, draft, ref, in.ChangeID)
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: previewOf(preview)}, nil
}

// previewedRecord is the record of which a change is previewed, unless that is given by its id.
func previewedRecord(in wire.PreviewOrder) (record.Ref, error) {
	if err := recordNamed(inBody, in.RecordType, in.RecordID); err != nil {
		return record.Ref{}, err
	}
	ways := 0
	for _, given := range []bool{in.UserID != "", in.RecordID != "", in.ChangeID != 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return record.Ref{}, wrong(inBody, "user_id", problem.Missing,
			"give either user_id, the id of a user, or record_type and record_id, to be shown the newest change, or change_id, the id of a change")
	}
	ref := record.Ref{Type: record.Type(in.RecordType), ID: in.RecordID}
	if in.UserID != "" {
		ref = record.Ref{Type: record.User, ID: in.UserID}
	}
	return ref, nil
}

func previewOf(p admin.Preview) wire.Preview {
	return wire.Preview{Wanted: p.Wanted, Why: p.Why, MessageID: p.MessageID, Requests: each(p.Requests, requestOf)}
}

func requestOf(r destination.Request) wire.Request {
	return wire.Request{Method: r.Method, URL: r.URL, Headers: r.Header, Body: r.Body, Note: r.Note}
}

func testResultOf(r admin.TestResult) wire.TestResult {
	return wire.TestResult{
		Delivered: r.Delivered, MessageID: r.MessageID, Requests: each(r.Requests, requestOf), Status: r.Status,
		Response: r.Response, Reason: r.Reason, DurationMS: r.Duration.Milliseconds(),
	}
}

// testDestination sends one test event.
func (a *API) testDestination(r *http.Request) (answer, error) {
	p, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	in := wire.TestOrder{EventType: destination.UserUpdated}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if err := among(inBody, "event_type", in.EventType, destination.EventTypes()); err != nil {
		return answer{}, err
	}
	result, err := a.config.Deliveries.Test(r.Context(), p.ID, d.ID, in.EventType)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: testResultOf(result)}, nil
}

// replayDestination delivers again what the body chooses.
func (a *API) replayDestination(r *http.Request) (answer, error) {
	p, d, err := a.destination(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.ReplayOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in.Since == "" && in.Until == "" && in.UserID == "" && in.RecordID == "" && in.RecordType == "" && in.EventType == "" && in.State == "" {
		return answer{}, wrong(inBody, "state", problem.Missing,
			"say what to deliver again: state, such as failed, user_id, record_type and record_id, event_type, since or until; since beginning is everything")
	}
	if in.Since == "now" {
		return answer{}, wrongField("since",
			"since is now, before which nothing is delivered again: give beginning, or a time as in 2026-05-04T10:20:30Z")
	}
	if err := recordNamed(inBody, in.RecordType, in.RecordID); err != nil {
		return answer{}, err
	}
	replay := admin.Replay{
		UserID: in.UserID, RecordType: in.RecordType, RecordID: in.RecordID, EventType: in.EventType, State: in.State, DryRun: in.DryRun,
	}
	if replay.From, err = parseSince(in.Since); err != nil {
		return answer{}, err
	}
	if replay.To, err = moment(inBody, "until", in.Until); err != nil {
		return answer{}, err
	}
	if err := among(inBody, "event_type", in.EventType, destination.EventTypes()); err != nil {
		return answer{}, err
	}
	if err := among(inBody, "state", in.State, finishedStates()); err != nil {
		return answer{}, err
	}
	done, err := a.config.Deliveries.Replay(r.Context(), p.ID, d.ID, replay)
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: wire.Replayed(done)}, nil
}

// finishedStates are those from which a delivery can be taken up again.
func finishedStates() []string {
	return []string{delivery.StateDelivered, delivery.StateCoalesced, delivery.StateFailed, delivery.StateCancelled}
}

// among refuses a value that is none of those there are; empty is not given.
func among(in, name, given string, known []string) error {
	if given == "" || slices.Contains(known, given) {
		return nil
	}
	return wrong(in, name, problem.Invalid, "there is no %s %.60q: take one of %s", name, given, strings.Join(known, ", "))
}

// ofDatabase names the database that a call could not use.
func ofDatabase(p project.Project, err error) error {
	var delayed *tenantdb.DelayError
	if schema.NeedsPerson(err) {
		return fail(fault.DatabaseUnusable, "the database of project %s: %v", p.Name, pgdb.Redact(err))
	}
	if pgdb.Unavailable(err) && !errors.As(err, &delayed) {
		return fail(projectDatabaseAway, "the database of project %s cannot be used now: %v", p.Name, pgdb.Redact(err))
	}
	return err
}
