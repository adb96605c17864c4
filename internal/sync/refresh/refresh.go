// Package refresh reads single users from a provider and updates the mirror to match. The answer is
// authoritative: it includes every event that the mirror had before the request, so it wins over
// them whatever their clocks. A live event that arrives in the meantime is newer and wins.
//
// It serves `authsync refresh`, log stream entries, and the last phase of a reconcile:
//
//	clocks of the mirror ──▶ provider: one request a user ──▶ decode ──▶ compare ──▶ apply
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
	Clocks(ctx context.Context, projectID uuid.UUID, userIDs []string) (map[string]mirror.Clocks, error)
	Compare(ctx context.Context, projectID uuid.UUID, events []mirror.Event, rules provider.Comparison) ([]mirror.Finding, error)
	Apply(ctx context.Context, projectID uuid.UUID, events []mirror.Event) ([]mirror.Result, error)
}

// Reader reads users of one integration.
type Reader struct {
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
var errSlow = errors.New("no user was read and written in time: the provider or the project's database is slow")

// Answer is a provider's answer about a user, compared with the mirror.
type Answer struct {
	UserID string
	// Gone reports that the provider certainly has no such user.
	Gone bool
	// Finding is one of mirror.Equal, Missing, Differing, Unreported, Deleted; if the user is gone,
	// mirror.Orphaned or Placeholder, or Equal if the mirror has the user as deleted, not at all,
	// or from another provider.
	Finding string
	Columns []string
	// Tolerated lists tolerated differences; see mirror.Finding.
	Tolerated []string
	// IsUnknown reports that the user is gone and has no row in the mirror. MayBeAnothers reports
	// that the user is gone, but the row is or may be another provider's.
	IsUnknown, MayBeAnothers bool
	// Err is set if this user, but not others, could not be read or decoded.
	Err error

	event mirror.Event
}

// NeedsRepair reports whether the mirror should be updated to the answer.
func (a *Answer) NeedsRepair() bool { return a.Err == nil && a.Finding != mirror.Equal }

// Read reads users. The error is that of a Source or of the mirror and says when to continue;
// earlier answers are returned with it.
func (r *Reader) Read(ctx context.Context, userIDs []string) ([]Answer, error) {
	clocks, err := r.Mirror.Clocks(ctx, r.ProjectID, userIDs)
	if err != nil {
		return nil, err
	}
	answers := make([]*Answer, len(userIDs))
	bounded := ctx
	if r.Time > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(ctx, r.Time, errSlow)
		defer cancel()
	}
	group, asking := errgroup.WithContext(bounded)
	group.SetLimit(parallel)
	for i, id := range userIDs {
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

// ask reads one user.
func (r *Reader) ask(ctx context.Context, id string, all map[string]mirror.Clocks) (*Answer, error) {
	asked := time.Now()
	clocks, known := all[id]
	user, err := r.Account.Source.User(ctx, id)
	switch {
	case errors.Is(err, userapi.ErrGone):
		answer := &Answer{UserID: id, Gone: true, Finding: mirror.Equal, event: r.deletion(id, asked)}
		switch {
		case !known:
			answer.IsUnknown = true
		case r.mayBeAnothers(clocks):
			answer.MayBeAnothers = true
		case clocks.IsDeleted:
		case clocks.IsPlaceholder:
			answer.Finding = mirror.Placeholder
		default:
			answer.Finding = mirror.Orphaned
		}
		clocks.Supersede(&answer.event)
		return answer, nil
	case fault.Is(err, fault.ProviderError):
		return &Answer{UserID: id, Err: err}, nil // possibly specific to this user
	case err != nil:
		return nil, err
	}
	e := r.Account.Importer.DecodeUser(user.Object, provider.Import{
		RunID: r.RunID, Kind: r.Kind, FetchedAt: user.FetchedAt, Whole: true, LastSignInAt: user.LastSignInAt,
	}, r.Account.Options)
	if e.Verdict != provider.Apply {
		return &Answer{UserID: id, Err: errors.New(e.Reason)}, nil
	}
	answer := &Answer{
		UserID: id, event: mirror.Event{Event: e, Provider: r.Provider, ReceivedAt: user.FetchedAt, NoLedger: true},
	}
	clocks.Supersede(&answer.event)
	return answer, nil
}

// mayBeAnothers reports whether another provider of the project may know the user, so that this
// one's answer proves nothing.
func (r *Reader) mayBeAnothers(c mirror.Clocks) bool {
	if c.Provider == nil {
		return !r.Account.Alone
	}
	return *c.Provider != r.Provider
}

// deletion returns the event for a user whom the provider does not have.
func (r *Reader) deletion(id string, asked time.Time) mirror.Event {
	clock := r.GoneSince
	if clock.IsZero() {
		clock = asked
	}
	clock = clock.UTC().Truncate(time.Microsecond)
	since := clock.Format(time.RFC3339Nano)
	return mirror.Event{
		Event: provider.Event{
			ID: r.Kind + ":" + r.RunID, Type: r.Kind, UserID: id,
			DeletedClock: clock, SentAt: asked, Fields: provider.Fields{record.DeletedAt: &since},
		},
		Provider: r.Provider, ReceivedAt: asked, NoLedger: true,
	}
}

// compare sets the findings of users whom the provider has.
func (r *Reader) compare(ctx context.Context, answers []Answer) error {
	var events []mirror.Event
	var places []int
	for i := range answers {
		if answers[i].Err == nil && !answers[i].Gone {
			events = append(events, answers[i].event)
			places = append(places, i)
		}
	}
	findings, err := r.Mirror.Compare(ctx, r.ProjectID, events, r.Account.Importer.Comparison())
	if err != nil {
		return err
	}
	for _, f := range findings {
		a := &answers[places[f.Ordinal]]
		a.Finding, a.Columns, a.Tolerated = f.Finding, f.Columns, f.Tolerated
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
