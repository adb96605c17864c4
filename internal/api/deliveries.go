package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/record"
)

// Deliveries sends changes on to destinations, and tells of it; see admin.Admin.
type Deliveries interface {
	// Start begins a destination's deliveries, in the transaction that makes it.
	Cursor(ctx context.Context, projectID uuid.UUID, from admin.From) (int64, error)
	Start(ctx context.Context, tx pgx.Tx, destinationID, projectID uuid.UUID, cursor int64) error
	Pause(ctx context.Context, destinationID uuid.UUID, by, state, reason string) error
	// Resume closes the breaker as well.
	Resume(ctx context.Context, destinationID uuid.UUID) error
	// Health returns the health of a project's destinations, by their ids.
	Health(ctx context.Context, projectID uuid.UUID) (map[uuid.UUID]admin.Health, error)
	// Preview returns admin.ErrNoChange where there is no such change, or none of the record.
	Preview(ctx context.Context, projectID, destinationID uuid.UUID, ref record.Ref, changeID int64) (admin.Preview, error)
	// PreviewDraft returns the errors of Preview, and fault.Invalid for a destination that cannot be.
	PreviewDraft(ctx context.Context, projectID uuid.UUID, d admin.Draft, ref record.Ref, changeID int64) (admin.Preview, error)
	// Test returns fault.Invalid where the type takes no test events, or the mapping fails.
	Test(ctx context.Context, projectID, destinationID uuid.UUID, eventType string) (admin.TestResult, error)
	Replay(ctx context.Context, projectID, destinationID uuid.UUID, r admin.Replay) (admin.Replayed, error)

	// ListDeliveries returns fault.ErrBadCursor for a cursor that it did not return.
	ListDeliveries(ctx context.Context, projectID uuid.UUID, f admin.ListFilter) (page []admin.Delivery, next string, err error)
	// FindDelivery, Retry, Cancel and Confirm return admin.ErrNoDelivery where the project has none
	// with that id; Retry, Cancel and Confirm fault.WrongState where its state does not allow it.
	FindDelivery(ctx context.Context, projectID uuid.UUID, id int64) (admin.DeliveryDetail, error)
	Retry(ctx context.Context, projectID uuid.UUID, id int64) error
	Cancel(ctx context.Context, projectID uuid.UUID, id int64) error
	Confirm(ctx context.Context, projectID uuid.UUID, id int64) error
	ConfirmAll(ctx context.Context, projectID uuid.UUID, c admin.Confirmation) (admin.Confirmed, error)
}

func deliveryOf(d admin.Delivery) wire.Delivery {
	return wire.Delivery{
		ID: d.ID, DestinationID: d.DestinationID.String(), Destination: d.Destination, ChangeID: d.ChangeID, MessageID: d.MessageID,
		RecordType: d.RecordType, RecordID: d.RecordID, UserID: d.UserID, EventType: d.EventType, Changed: d.Changed, State: d.State,
		HeldUntil: utc(d.HeldUntil), Attempts: d.Attempts, Deferrals: d.Deferrals,
		NextAttemptAt: utc(d.NextAttemptAt), LastAttemptAt: utc(d.LastAttemptAt), LastStatus: d.LastStatus, LastResponse: d.LastResponse,
		Reason: d.Reason, CoalescedInto: d.CoalescedInto, JobID: d.JobID, ChangedAt: d.ChangedAt.UTC(), CreatedAt: d.CreatedAt.UTC(),
		FinishedAt: utc(d.FinishedAt),
	}
}

func (a *API) listDeliveries(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	given := given(r)
	f := admin.ListFilter{
		State: given["state"], UserID: given["user_id"], RecordType: given["record_type"], RecordID: given["record_id"],
		EventType: given["event_type"], Cursor: given["cursor"],
	}
	if f.Limit, err = limitOf(r); err != nil {
		return answer{}, err
	}
	if err := recordNamed(inQuery, f.RecordType, f.RecordID); err != nil {
		return answer{}, err
	}
	if err := among(inQuery, "state", f.State, delivery.States()); err != nil {
		return answer{}, err
	}
	if err := among(inQuery, "event_type", f.EventType, destination.EventTypes()); err != nil {
		return answer{}, err
	}
	if f.DestinationID, err = a.destinationNamed(r, p, inQuery, given["destination"]); err != nil {
		return answer{}, err
	}
	list, next, err := a.config.Deliveries.ListDeliveries(r.Context(), p.ID, f)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: newPage(each(list, deliveryOf), next)}, nil
}

// destinationNamed is the id of a destination given by its name or id; the zero id if none is given.
func (a *API) destinationNamed(r *http.Request, p project.Project, in, name string) (uuid.UUID, error) {
	if name == "" {
		return uuid.Nil, nil
	}
	d, err := a.config.Store.FindDestination(r.Context(), p.ID, name)
	if errors.Is(err, project.ErrNoDestination) {
		return uuid.Nil, wrong(in, "destination", problem.Invalid,
			"the project has no destination %.80q: the list of its destinations has those there are", name)
	}
	return d.ID, err
}

func (a *API) getDelivery(r *http.Request) (answer, error) {
	found, err := a.onDelivery(r, func(context.Context, uuid.UUID, int64) error { return nil })
	if err != nil {
		return answer{}, err
	}
	d := wire.DeliveryDetail{Delivery: deliveryOf(found.Delivery), AttemptLog: each(found.AttemptLog, attemptOf)}
	switch given(r)["preview"] {
	case "", "false":
	case "true":
		if d.Preview, err = a.previewOf(r, d.Delivery); err != nil {
			return answer{}, err
		}
	default:
		return answer{}, wrong(inQuery, "preview", problem.Invalid, "preview must be true or false")
	}
	return answer{status: http.StatusOK, body: d}, nil
}

func attemptOf(a admin.Attempt) wire.DeliveryAttempt {
	shown := wire.DeliveryAttempt{
		Number: a.Number, AttemptedAt: utc(a.AttemptedAt), Outcome: a.Outcome, Status: a.Status, DurationMS: a.DurationMS,
		Reason: a.Reason, Response: a.Response, ResponseCut: a.IsResponseCut, RequestsOmitted: a.Omitted,
	}
	if a.Requests == nil {
		return shown
	}
	shown.Requests = make([]wire.SentRequest, len(a.Requests))
	for i, r := range a.Requests {
		one := wire.SentRequest{
			Method: r.Method, URL: r.URL, Headers: r.Header, BodyBytes: r.BodyBytes, BodyCut: r.IsBodyCut, Sent: !r.IsUnsent,
			ResponseCut: r.IsResponseCut, Note: r.Note,
		}
		if i < len(a.Bodies) {
			one.Body = a.Bodies[i]
		}
		if r.Status != 0 {
			one.Status = &r.Status
		}
		switch {
		case r.Response != nil:
			one.Response = *r.Response
		case a.Response != nil: // that of the attempt is not stored twice
			one.Response, one.ResponseCut = *a.Response, a.IsResponseCut
		}
		shown.Requests[i] = one
	}
	return shown
}

// previewOf makes the request of a delivery as it would be sent now.
func (a *API) previewOf(r *http.Request, d wire.Delivery) (*wire.DeliveryPreview, error) {
	p, err := a.project(r)
	if err != nil {
		return nil, err
	}
	to, err := a.config.Store.FindDestination(r.Context(), p.ID, d.DestinationID)
	if err != nil {
		return nil, err
	}
	preview, err := a.config.Deliveries.Preview(r.Context(), p.ID, to.ID, record.Ref{}, d.ChangeID)
	if errors.Is(err, admin.ErrNoChange) {
		return nil, fail(fault.ChangeNotFound, "the project's change feed no longer has change %d, of which the preview of this delivery is made", d.ChangeID)
	}
	if err != nil {
		return nil, ofDatabase(p, err)
	}
	request := &wire.DeliveryPreview{Requests: each(preview.Requests, requestOf)}
	if d.LastAttemptAt != nil && to.UpdatedAt.After(*d.LastAttemptAt) {
		request.DestinationChangedAt = utc(&to.UpdatedAt)
	}
	return request, nil
}

// retryDelivery tries a delivery that failed, was cancelled or waits for its next attempt
// now. One that the destination has must not be sent twice by a slip: that is a replay.
func (a *API) retryDelivery(r *http.Request) (answer, error) {
	return a.changeDelivery(r, func(ctx context.Context, projectID uuid.UUID, id int64) error {
		d, err := a.config.Deliveries.FindDelivery(ctx, projectID, id)
		if err != nil {
			return err
		}
		if d.State == delivery.StateDelivered {
			return fail(fault.WrongState, "it is delivered: to send it again, replay the destination, with user_id, record_id or since and until")
		}
		return a.config.Deliveries.Retry(ctx, projectID, id)
	})
}

// cancelDelivery cancels a delivery that is not finished.
func (a *API) cancelDelivery(r *http.Request) (answer, error) {
	return a.changeDelivery(r, a.config.Deliveries.Cancel)
}

// confirmDelivery has a deletion that is held back sent now.
func (a *API) confirmDelivery(r *http.Request) (answer, error) {
	return a.changeDelivery(r, a.config.Deliveries.Confirm)
}

// confirmDeliveries has all deletions sent now that are held back and match.
func (a *API) confirmDeliveries(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.ConfirmOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in == (wire.ConfirmOrder{DryRun: in.DryRun}) {
		return answer{}, wrong(inBody, "destination", problem.Missing,
			"say which deliveries to confirm: give destination for all that are held of it, user_id, event_type, or record_type and record_id")
	}
	if err := recordNamed(inBody, in.RecordType, in.RecordID); err != nil {
		return answer{}, err
	}
	if err := among(inBody, "event_type", in.EventType, destination.EventTypes()); err != nil {
		return answer{}, err
	}
	c := admin.Confirmation{UserID: in.UserID, RecordType: in.RecordType, RecordID: in.RecordID, EventType: in.EventType, DryRun: in.DryRun}
	if c.DestinationID, err = a.destinationNamed(r, p, inBody, in.Destination); err != nil {
		return answer{}, err
	}
	done, err := a.config.Deliveries.ConfirmAll(r.Context(), p.ID, c)
	return answer{status: http.StatusOK, body: wire.Confirmed(done)}, err
}

// changeDelivery does something with the delivery that the path names, and answers with the delivery as it is then.
func (a *API) changeDelivery(r *http.Request, do func(ctx context.Context, projectID uuid.UUID, id int64) error) (answer, error) {
	d, err := a.onDelivery(r, do)
	return answer{status: http.StatusOK, body: deliveryOf(d.Delivery)}, err
}

// onDelivery does something with the delivery that the path names, and returns the delivery as it is then.
func (a *API) onDelivery(r *http.Request, do func(ctx context.Context, projectID uuid.UUID, id int64) error) (admin.DeliveryDetail, error) {
	p, err := a.project(r)
	if err != nil {
		return admin.DeliveryDetail{}, err
	}
	text, err := variable(r, "delivery")
	if err != nil {
		return admin.DeliveryDetail{}, err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return admin.DeliveryDetail{}, fail(fault.DeliveryNotFound, "the path must name a delivery by its id in the list of deliveries, such as 17")
	}
	if err := do(r.Context(), p.ID, id); err != nil {
		return admin.DeliveryDetail{}, err
	}
	return a.config.Deliveries.FindDelivery(r.Context(), p.ID, id)
}
