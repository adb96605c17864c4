// Package refresh reads single records from a provider and updates the mirror to match. The answer is
// authoritative: it includes every event that the mirror had before the request, so it wins over
// them whatever their clocks. A live event that arrives in the meantime is newer and wins.
//
// Answers that may lag (userapi.Lagger) are authoritative about what happened longer ago than they
// lag, and have the clock of that time. What the mirror has heard of since stays.
//
// It serves `authsync refresh`, log stream entries, and the last phase of a reconcile:
//
//	clocks of the mirror ──▶ provider: one request a record ──▶ decode ──▶ compare ──▶ apply
//
// Requests are rows that go when their answer is in the mirror. If the process dies in between, the
// job is rescued and reads the record again.
package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
)

// parallel is the number of concurrent requests. The Source enforces the provider's rate limit.
const parallel = 4

// Mirror is the part of the mirrors that is needed here; see mirror.Mirrors.
type Mirror interface {
	Clocks(ctx context.Context, projectID uuid.UUID, t record.Type, ids []string) (map[string]mirror.Clocks, error)
	Compare(ctx context.Context, projectID uuid.UUID, t record.Type, events []mirror.Event, rules provider.Comparison) ([]mirror.Finding, error)
	Apply(ctx context.Context, projectID uuid.UUID, events []mirror.Event) ([]mirror.Result, error)
}

// Reader reads records of one type from one integration.
type Reader struct {
	// Type is the type of the records: users, or others that a userapi.RecordSource reads.
	Type      record.Type
	Account   source.Account
	Mirror    Mirror
	ProjectID uuid.UUID
	Provider  string
	// Kind and RunID name the events; see provider.Import.
	Kind, RunID string
	// GoneSince is the clock of deletions that are found; zero means the time of the request.
	GoneSince time.Time
	// Time limits the requests of one Read; 0 means as long as ctx.
	Time time.Duration
}

// errSlow is the error of a Read whose requests took too long.
var errSlow = errors.New("nothing was read and written in time: the provider or the project's database is slow")

// Answer is a provider's answer about a record, compared with the mirror.
type Answer struct {
	ID string
	// Gone reports that the provider certainly has no such record.
	Gone bool
	// Finding is one of mirror.Equal, Missing, Differing, Unreported, Deleted; if the record is gone,
	// mirror.Orphaned or Placeholder, or Equal if the mirror has the record as deleted, not at all,
	// or from another provider.
	Finding string
	Columns []string
	// Tolerated lists tolerated differences; see mirror.Finding.
	Tolerated []string
	// IsBare reports that the record exists, and that nothing of it may be read. Its finding is Equal.
	IsBare bool
	// IsRecent reports that the answer contradicts something that the mirror has heard of and that the
	// answer, which may lag, may not know: nothing follows from it now.
	IsRecent bool
	// IsUnknown reports that the record is gone and has no row in the mirror. MayBeAnothers reports
	// that the record is gone, but the row is or may be another provider's.
	IsUnknown, MayBeAnothers bool
	// Err is set if this record, but not others, could not be read or decoded.
	Err error

	event mirror.Event
	// outdated: the mirror knows of something that happened after what the answer is certain to know.
	outdated bool
}

// NeedsRepair reports whether the mirror should be updated to the answer.
func (a *Answer) NeedsRepair() bool { return a.Err == nil && a.Finding != mirror.Equal }

// Read reads records. The error is that of a Source or of the mirror and says when to continue;
// earlier answers are returned with it.
func (r *Reader) Read(ctx context.Context, ids []string) ([]Answer, error) {
	// In another account the records do not exist, which would delete them here.
	if err := r.Account.Verify(ctx); err != nil {
		return nil, err
	}
	clocks, err := r.Mirror.Clocks(ctx, r.ProjectID, r.Type, ids)
	if err != nil {
		return nil, err
	}
	answers := make([]*Answer, len(ids))
	bounded := ctx
	if r.Time > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(ctx, r.Time, errSlow)
		defer cancel()
	}
	group, asking := errgroup.WithContext(bounded)
	group.SetLimit(parallel)
	for i, id := range ids {
		group.Go(func() error {
			answer, err := r.ask(asking, id, clocks)
			answers[i] = answer
			return err
		})
	}
	failed := group.Wait()
	got := make([]Answer, 0, len(answers))
	for _, a := range answers {
		if a != nil {
			got = append(got, *a)
		}
	}
	if err := r.compare(ctx, got); err != nil {
		return nil, err
	}
	return got, failed
}

// ask reads one record.
func (r *Reader) ask(ctx context.Context, id string, all map[string]mirror.Clocks) (*Answer, error) {
	lag := userapi.LagOf(r.Account.Source, r.Type)
	asOf := time.Now().Add(-lag)
	clocks, known := all[id]
	object, err := r.read(ctx, id, clocks)
	switch {
	case errors.Is(err, userapi.ErrGone):
		answer := &Answer{ID: id, Gone: true, Finding: mirror.Equal, event: r.deletion(id, asOf, lag)}
		switch {
		case !known:
			answer.IsUnknown = true
		case r.mayBeAnothers(clocks):
			answer.MayBeAnothers = true
		case clocks.IsDeleted:
		case lag > 0 && clocks.IsNewerThan(asOf):
			answer.IsRecent = true
		case clocks.IsPlaceholder:
			answer.Finding = mirror.Placeholder
		default:
			answer.Finding = mirror.Orphaned
		}
		clocks.Supersede(&answer.event)
		return answer, nil
	case fault.Is(err, fault.ProviderError, fault.Unsupported):
		return &Answer{ID: id, Err: err}, nil // possibly specific to this record
	case err != nil:
		return nil, err
	case object.Object == nil:
		return &Answer{ID: id, Finding: mirror.Equal, IsBare: true, IsRecent: lag > 0 && clocks.IsNewerThan(asOf)}, nil
	}
	e := r.decode(object)
	if e.Verdict != provider.Apply {
		return &Answer{ID: id, Err: errors.New(e.Reason)}, nil
	}
	answer := &Answer{
		ID: id, event: mirror.Event{Event: e, Provider: r.Provider, ReceivedAt: object.FetchedAt, NoLedger: true},
		outdated: lag > 0 && clocks.IsNewerThan(object.FetchedAt),
	}
	if !answer.outdated {
		clocks.Supersede(&answer.event)
	}
	return answer, nil
}

// read reads one object.
func (r *Reader) read(ctx context.Context, id string, clocks mirror.Clocks) (userapi.User, error) {
	if r.Type == record.User {
		return r.Account.Source.User(ctx, id)
	}
	source, can := r.Account.Source.(userapi.RecordSource)
	if !can {
		return userapi.User{}, fault.Newf(fault.Unsupported, "the %ss of %s cannot be read", r.Type, provider.Title(r.Provider))
	}
	ref := userapi.RecordRef{Ref: record.Ref{Type: r.Type, ID: id}}
	if clocks.OrganizationID != nil {
		ref.OrganizationID = *clocks.OrganizationID
	}
	found, err := source.Record(ctx, ref)
	return userapi.User{Object: found.Object, FetchedAt: found.FetchedAt}, err
}

func (r *Reader) decode(object userapi.User) provider.Event {
	i := provider.Import{RunID: r.RunID, Kind: r.Kind, FetchedAt: object.FetchedAt, Whole: true, LastSignInAt: object.LastSignInAt}
	if r.Type == record.User {
		return r.Account.Importer.DecodeUser(object.Object, i, r.Account.Options)
	}
	return r.Account.Importer.DecodeRecord(r.Type, object.Object, i, r.Account.Options)
}

// mayBeAnothers reports whether another provider of the project may know the record, so that this
// one's answer proves nothing.
func (r *Reader) mayBeAnothers(c mirror.Clocks) bool {
	if c.Provider == nil {
		return !r.Account.Alone
	}
	return *c.Provider != r.Provider
}

// deletion returns the event for a record that the provider did not have at a time, by an answer that
// may lag.
func (r *Reader) deletion(id string, asOf time.Time, lag time.Duration) mirror.Event {
	clock := asOf
	if !r.GoneSince.IsZero() {
		clock = r.GoneSince.Add(-lag)
	}
	clock = clock.UTC().Truncate(time.Microsecond)
	since := clock.Format(time.RFC3339Nano)
	e := provider.Event{
		ID: r.Kind + ":" + r.RunID, Type: r.Kind,
		DeletedClock: clock, SentAt: asOf, Fields: provider.Fields{record.DeletedAt: &since},
	}
	e.SetRecord(record.Ref{Type: r.Type, ID: id})
	return mirror.Event{Event: e, Provider: r.Provider, ReceivedAt: asOf, NoLedger: true}
}

// compare sets the findings of records that the provider has.
func (r *Reader) compare(ctx context.Context, answers []Answer) error {
	var events []mirror.Event
	var places []int
	for i := range answers {
		if answers[i].Err == nil && !answers[i].Gone && answers[i].event.ID != "" {
			events = append(events, answers[i].event)
			places = append(places, i)
		}
	}
	findings, err := r.Mirror.Compare(ctx, r.ProjectID, r.Type, events, r.Account.Importer.Comparison(r.Type).Excluding(r.Account.Options))
	if err != nil {
		return err
	}
	for _, f := range findings {
		a := &answers[places[f.Ordinal]]
		a.Finding, a.Columns, a.Tolerated = f.Finding, f.Columns, f.Tolerated
		if a.outdated && f.IsOpen {
			a.Finding, a.Columns, a.IsRecent = mirror.Equal, nil, true
		}
	}
	return nil
}

// Apply brings the mirror to those of the answers that need it; each of these
// gets a result, the others an empty one. The error is a *tenantdb.DelayError.
func (r *Reader) Apply(ctx context.Context, answers []Answer) ([]mirror.Result, error) {
	var events []mirror.Event
	var places []int
	for i := range answers {
		if answers[i].NeedsRepair() {
			events = append(events, answers[i].event)
			places = append(places, i)
		}
	}
	results := make([]mirror.Result, len(answers))
	if len(events) == 0 {
		return results, nil
	}
	applied, err := r.Mirror.Apply(ctx, r.ProjectID, events)
	if err != nil {
		return nil, err
	}
	for i, result := range applied {
		results[places[i]] = result
	}
	return results, nil
}
