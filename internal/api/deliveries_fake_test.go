package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/record"
)

// fakeDeliveries stands in for what delivers: it keeps states, and delivers nothing.
type fakeDeliveries struct {
	pool *pgxpool.Pool

	mu        sync.Mutex
	err       error // of what asks the project's database
	from      admin.From
	resumed   int
	health    admin.Health
	drafted   admin.Draft
	previewed previewOf
	replayed  admin.Replay
	confirmed admin.Confirmation
	filter    admin.ListFilter
	stored    []admin.Delivery
	attempts  []admin.Attempt // of each of them
}

// previewOf is what a preview was asked for.
type previewOf struct {
	ref      record.Ref
	changeID int64
}

func (o *fakeDeliveries) Cursor(_ context.Context, _ uuid.UUID, from admin.From) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.from = from
	return 0, o.err
}

func (o *fakeDeliveries) Start(context.Context, pgx.Tx, uuid.UUID, uuid.UUID, int64) error {
	return nil
}

func (o *fakeDeliveries) Pause(ctx context.Context, id uuid.UUID, by, state, reason string) error {
	_, err := o.pool.Exec(ctx, `UPDATE authsync.destinations
		SET state = $2, state_by = $3, state_reason = nullif($4, ''), state_since = now() WHERE id = $1`, id, state, by, reason)
	return err
}

func (o *fakeDeliveries) Resume(ctx context.Context, id uuid.UUID) error {
	o.mu.Lock()
	o.resumed++
	o.mu.Unlock()
	return o.Pause(ctx, id, project.ByPerson, project.Active, "")
}

func (o *fakeDeliveries) Health(ctx context.Context, projectID uuid.UUID) (map[uuid.UUID]admin.Health, error) {
	rows, err := o.pool.Query(ctx, `SELECT id FROM authsync.destinations WHERE project_id = $1`, projectID)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	health := map[uuid.UUID]admin.Health{}
	for _, id := range ids {
		health[id] = o.health
	}
	return health, err
}

func (o *fakeDeliveries) Preview(_ context.Context, _, _ uuid.UUID, ref record.Ref, changeID int64) (admin.Preview, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.previewed = previewOf{ref, changeID}
	switch ref.ID {
	case "gone":
		return admin.Preview{}, admin.ErrNoChange
	case "odd":
		return admin.Preview{}, fault.New(fault.Invalid, "options.body fails on this change: null has no keys")
	case "busy":
		return admin.Preview{}, destination.ExpressionError(&jq.UnavailableError{Err: errors.New("no processes")}, "options.body: no processes")
	case "unwanted":
		return admin.Preview{Why: "of the fields email none changed", Requests: []destination.Request{}}, nil
	}
	return admin.Preview{Wanted: true, Why: "every change is wanted", MessageID: "msg_1_2", Requests: []destination.Request{{
		Method: http.MethodPost, URL: "https://example.com/hook", Header: http.Header{"Webhook-Id": {"msg_1_2"}}, Body: json.RawMessage(`{"a": 1}`),
	}}}, o.err
}

func (o *fakeDeliveries) PreviewDraft(ctx context.Context, projectID uuid.UUID, d admin.Draft, ref record.Ref, changeID int64) (admin.Preview, error) {
	o.mu.Lock()
	o.drafted = d
	o.mu.Unlock()
	return o.Preview(ctx, projectID, uuid.Nil, ref, changeID)
}

func (o *fakeDeliveries) Test(_ context.Context, _, _ uuid.UUID, eventType string) (admin.TestResult, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if eventType == destination.UserRestored {
		return admin.TestResult{}, fault.New(fault.Invalid, "a test event would leave a contact: use preview")
	}
	status := http.StatusUnauthorized
	return admin.TestResult{MessageID: "msg_1_test_" + eventType, Requests: []destination.Request{}, Status: &status, Reason: "it answered 401", Duration: 3 * time.Millisecond}, o.err
}

func (o *fakeDeliveries) Replay(_ context.Context, _, _ uuid.UUID, r admin.Replay) (admin.Replayed, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.replayed = r
	return admin.Replayed{Matched: 3, Requeued: 2, DryRun: r.DryRun}, o.err
}

func (o *fakeDeliveries) ListDeliveries(_ context.Context, _ uuid.UUID, f admin.ListFilter) ([]admin.Delivery, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f.Cursor == "bad" {
		return nil, "", fault.ErrBadCursor
	}
	o.filter = f
	return o.stored, "next", nil
}

func (o *fakeDeliveries) FindDelivery(_ context.Context, _ uuid.UUID, id int64) (admin.DeliveryDetail, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.stored, func(d admin.Delivery) bool { return d.ID == id })
	if i < 0 {
		return admin.DeliveryDetail{}, admin.ErrNoDelivery
	}
	return admin.DeliveryDetail{Delivery: o.stored[i], AttemptLog: o.attempts}, nil
}

func (o *fakeDeliveries) Retry(_ context.Context, _ uuid.UUID, id int64) error {
	return o.set(id, "ready", "blocked", "it waits for an earlier one")
}

func (o *fakeDeliveries) Cancel(_ context.Context, _ uuid.UUID, id int64) error {
	return o.set(id, "cancelled", "delivered", "it is finished: there is nothing to cancel")
}

func (o *fakeDeliveries) Confirm(_ context.Context, _ uuid.UUID, id int64) error {
	return o.set(id, "ready", "delivered", "it is not held back")
}

func (o *fakeDeliveries) ConfirmAll(_ context.Context, _ uuid.UUID, c admin.Confirmation) (admin.Confirmed, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.confirmed = c
	return admin.Confirmed{Matched: 2, Confirmed: 3, DryRun: c.DryRun}, o.err
}

func (o *fakeDeliveries) set(id int64, state, not, why string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.stored, func(d admin.Delivery) bool { return d.ID == id })
	switch {
	case i < 0:
		return admin.ErrNoDelivery
	case o.stored[i].State == not:
		return fault.New(fault.WrongState, why)
	}
	o.stored[i].State = state
	return nil
}

// fakeTypes is a registry with one type.
type fakeTypes struct{}

func (fakeTypes) Lookup(name string) (destination.Type, error) {
	if name != "webhook" {
		return nil, fault.At("type", "unknown destination type %s: use one of webhook", name)
	}
	return fakeType{}, nil
}

func (fakeTypes) Check(typ destination.Type, c destination.Config, _, _ []string, _ *string) error {
	_, err := typ.New(c, destination.Deps{})
	return err
}

type fakeType struct{}

func (fakeType) Name() string { return "webhook" }

func (fakeType) New(c destination.Config, _ destination.Deps) (destination.Destination, error) {
	if strings.Contains(string(c.Options), "10.0.0.1") {
		return nil, fault.New(fault.Invalid, "options.url leads to a private address: give a public one")
	}
	return nil, nil //nolint:nilnil // only the check counts here
}

func (fakeType) SecretNames() []string { return []string{"signing"} }

func (fakeType) SendsSecretsTo(json.RawMessage) []string { return nil }

func (fakeType) NewSecret() (name, value string, ok bool) {
	return "signing", "made-" + uuid.NewString(), true
}

func (b *testBundle) destination(t *testing.T, path, name string) reply {
	t.Helper()
	made := b.call(t, http.MethodPost, path+"/destinations", `{"name": "`+name+`", "type": "webhook", "options": {"url": "https://example.com/hook"}}`)
	require.Equal(t, http.StatusCreated, made.status, made.text)
	return made
}
