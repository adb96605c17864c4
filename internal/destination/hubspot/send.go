package hubspot

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// afterTrouble is the minimum wait for messages not sent because an earlier one got no response.
const afterTrouble = 5 * time.Second

// sending is one Send.
type sending struct {
	*hubspot
	rows []*row
	// stopped is why no more requests are made: they would all meet the same error. nil: continue.
	stopped *destination.Result
}

// upsert is a row of a batch.
type upsert struct {
	ID         string            `json:"id"`
	IDProperty string            `json:"idProperty,omitempty"`
	Trace      string            `json:"objectWriteTraceId"`
	Properties map[string]string `json:"properties"`
}

// batchAnswer is the response to an accepted batch: each row is in one of the lists, or in none.
type batchAnswer struct {
	Results []json.RawMessage `json:"results"`
	Errors  []json.RawMessage `json:"errors"`
}

type batchResult struct {
	ID    string `json:"id"`
	Trace string `json:"objectWriteTraceId"`
}

// batch is a set of rows that fit in one request.
type batch struct {
	path string
	rows []*row
	// row formats a row; key must be unique within a batch.
	row func(r *row) upsert
	key func(r *row) string
}

// run sets every row's result. Companies come first, then contacts, then what associates the two.
func (s *sending) run(ctx context.Context) {
	s.release(ctx)
	for _, of := range []*objects{s.companies, s.contacts} {
		var rows []*row
		for _, r := range s.rows {
			if of != nil && r.of == of {
				rows = append(rows, r)
			}
		}
		s.sync(ctx, of, rows)
	}
	s.link(ctx)
}

// sync sets the results of rows about objects of one kind: first of those that can share a request, then of the others alone.
func (s *sending) sync(ctx context.Context, of *objects, rows []*row) {
	if len(rows) == 0 {
		return
	}
	updates := &batch{
		path: of.path() + "/batch/update",
		row:  func(r *row) upsert { return upsert{ID: r.link, Properties: r.change} },
		key:  func(r *row) string { return r.link },
	}
	byKey := &batch{
		path: of.path() + "/batch/upsert",
		row:  func(r *row) upsert { return upsert{ID: r.key, IDProperty: of.IDProperty, Properties: r.full} },
		key:  func(r *row) string { return r.key },
	}
	byEmail := &batch{
		path: of.path() + "/batch/upsert",
		row:  func(r *row) upsert { return upsert{ID: r.email, IDProperty: "email", Properties: r.full} },
		key:  func(r *row) string { return strings.ToLower(r.email) },
	}
	taken := map[*batch]map[string]bool{updates: {}, byKey: {}, byEmail: {}}
	for _, r := range rows {
		if r.result != nil || s.needless(r) {
			continue
		}
		b := s.choose(r, updates, byKey, byEmail)
		if b == nil || taken[b][b.key(r)] {
			continue
		}
		taken[b][b.key(r)] = true
		b.rows = append(b.rows, r)
	}
	for _, b := range []*batch{updates, byKey, byEmail} {
		s.send(ctx, b, b.rows)
	}
	for _, r := range rows {
		if r.result == nil {
			s.alone(ctx, r)
		}
	}
}

// needless sets the result of rows with nothing to send. Of a company that is not stored, everything is sent: a membership may
// have made it, from a newer state of its organization than an earlier delivery of this one.
func (s *sending) needless(r *row) bool {
	switch {
	case r.erased():
		return false
	case r.deleted() && r.of.OnDelete.do == deleteNothing:
		r.done(destination.Result{Outcome: destination.Delivered, Reason: "nothing was sent: on_delete is nothing, the " + r.of.name + " stays as it is"})
		return true
	case r.deleted() || len(r.change) > 0:
		return false
	case r.link == "" && (r.of == s.companies || r.message.Kind() == record.Created || r.message.Kind() == record.Restored):
		return false // it may have to be created
	}
	r.done(destination.Result{Outcome: destination.Delivered, Reason: "nothing was sent: no mapped property has another value that is not empty"})
	return true
}

// doubtful reports whether the stored object may belong to another record by now, because an earlier attempt at
// a deletion removed the record's id from it.
func (r *row) doubtful() bool {
	return r.link != "" && r.retry() && r.of.IDProperty != "" && (r.deleted() || r.of.releases())
}

// choose returns the batch for a row, or nil if it must go alone because the action depends on a lookup.
//
// In a batch HubSpot selects the object by a single key. So a row fits only if no other lookup takes precedence,
// and if creating an object is right where there is none. By e-mail that holds for users who have always had
// this address, in portals without a property for ids.
func (s *sending) choose(r *row, updates, byKey, byEmail *batch) *batch {
	switch {
	case r.erased(), r.deleted() && r.of.OnDelete.do == deleteArchive, r.doubtful():
		return nil
	case r.link != "":
		return updates
	case r.deleted() || r.path != "" || len(r.emails) > 1 || !r.of.mayCreate(&r.message):
		return nil
	case r.of.IDProperty != "" && r.key != "":
		return byKey
	case r.of.IDProperty == "" && r.email != "":
		return byEmail
	}
	return nil
}

// send sends rows as a batch. Rows that the batch does not settle stay without a result. A single row is sent
// alone, for a more precise result.
func (s *sending) send(ctx context.Context, b *batch, rows []*row) {
	if len(rows) < 2 || s.stopped != nil {
		return
	}
	inputs := make([]upsert, len(rows))
	about := make([]share, len(rows))
	for i, r := range rows {
		inputs[i] = b.row(r)
		inputs[i].Trace = r.message.ID
		about[i] = share{r, inputs[i]}
	}
	a, trouble := s.call(ctx, request{http.MethodPost, b.path, nil, map[string]any{"inputs": inputs}}, about...)
	switch {
	case trouble != nil:
		for _, r := range rows {
			r.done(*trouble)
		}
		s.stopOn(trouble)
	case a.ok():
		s.settleBatch(a, rows)
	default:
		if verdict := s.judge(rows[0].of, a, readRefusal(a.body)); verdict.Outcome == destination.Pause {
			s.stopped = verdict
			return
		}
		// The error may name only the first bad row: bisect.
		s.send(ctx, b, rows[:len(rows)/2])
		s.send(ctx, b, rows[len(rows)/2:])
	}
}

// settleBatch sets the unambiguous results.
func (s *sending) settleBatch(a *answer, rows []*row) {
	var said batchAnswer
	json.Unmarshal(a.body, &said) //nolint:errcheck,gosec // rows without a result go alone
	for _, raw := range said.Results {
		var one batchResult
		if json.Unmarshal(raw, &one) != nil {
			continue
		}
		if r := rowOf(rows, one.Trace, one.ID); r != nil {
			r.answered(s.response(raw))
			r.result = s.delivered(&answer{a.status, raw}, r)
		}
	}
	for _, raw := range said.Errors {
		fault := readRefusal(raw)
		r := rowOf(rows, first(fault.Context.Trace), first(fault.Context.IDs))
		if r == nil || len(fault.propertyFaults()) == 0 {
			continue // for example a conflict, which sending alone resolves
		}
		r.answered(s.response(raw))
		r.result = s.judge(r.of, &answer{a.status, raw}, fault)
		s.stopOn(r.result)
	}
}

// rowOf finds a row by its trace, or by the stored object if the batch has no traces.
func rowOf(rows []*row, trace, id string) *row {
	at := slices.IndexFunc(rows, func(r *row) bool {
		return r.message.ID == trace || trace == "" && id != "" && r.link == id
	})
	if at < 0 || rows[at].result != nil {
		return nil
	}
	return rows[at]
}

func first(t texts) string {
	if len(t) == 0 {
		return ""
	}
	return t[0]
}

// stopOn stops sending if the next request would meet the same error.
func (s *sending) stopOn(trouble *destination.Result) {
	switch trouble.Outcome {
	case destination.Pause, destination.Deferred:
		s.stopped = trouble
	case destination.Retry:
		if trouble.Status == 0 {
			s.stopped = &destination.Result{
				Outcome: destination.Deferred, Shared: true, After: afterTrouble, Reason: "it was not sent: another request had no answer",
			}
		}
	default:
	}
}

// held returns the result of what must not be sent now, nil if it may be.
func (s *sending) held(ctx context.Context) *destination.Result {
	if ctx.Err() != nil {
		return &destination.Result{Outcome: destination.Retry, Reason: "it was stopped before it was sent"}
	}
	if s.stopped == nil {
		return nil
	}
	result := *s.stopped
	if result.Outcome == destination.Deferred { // not about this row
		result.Status, result.Response = 0, ""
	}
	return &result
}

// alone sends a single row.
func (s *sending) alone(ctx context.Context, r *row) {
	if held := s.held(ctx); held != nil {
		r.done(*held)
		return
	}
	r.result = s.single(ctx, r)
	s.stopOn(r.result)
}
