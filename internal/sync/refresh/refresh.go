// Package refresh asks a provider about single users, now, and brings the mirror
// to what it answers. That is the last word on a user: what the provider answers
// knows of every event that the mirror had before it was asked, so it wins over them,
// whatever their clocks say. A live event that comes meanwhile is newer and stays.
//
// It serves `authsync refresh`, entries of log streams, and the last phase of a
// reconcile. It stands beside the road of a webhook and joins it at its last station,
// the mirror:
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
	"github.com/authsync/authsync/internal/sync/source"
)

// parallel is how many users are asked for at the same time. The provider's
// rate limit is kept by the Source.
const parallel = 4

// Mirror is what is needed of the mirrors; see mirror.Mirrors.
type Mirror interface {
	Clocks(ctx context.Context, projectID uuid.UUID, userIDs []string) (map[string]mirror.Clocks, error)
	Compare(ctx context.Context, projectID uuid.UUID, events []mirror.Event, rules provider.Comparison) ([]mirror.Finding, error)
	Apply(ctx context.Context, projectID uuid.UUID, events []mirror.Event) ([]mirror.Result, error)
}

// Reader asks for users of one integration.
type Reader struct {
	Account   source.Account
	Mirror    Mirror
	ProjectID uuid.UUID
	Provider  string
	// Kind and RunID name the events, see provider.Import.
	Kind, RunID string
	// GoneSince is the clock of a deletion that is found out; zero: when the
	// provider was asked.
	GoneSince time.Time
	// Time is how long the provider has for the users of one Read; 0: as long as ctx.
	Time time.Duration
}

// errSlow is the error of a Read whose users could not all be asked about in time.
var errSlow = errors.New("no user was read and written in time: the provider or the project's database is slow")

// Answer is what the provider says about a user, beside what the mirror has.
type Answer struct {
	UserID string
	// Gone: the provider has no such user, for certain.
	Gone bool
	// Finding is one of mirror.Equal, Missing, Differing, Unreported, Deleted; where the
	// user is gone mirror.Orphaned or Placeholder, or Equal if the mirror has
	// the user as deleted, or not at all, or from another provider.
	Finding string
	Columns []string
	// Tolerated names what differs and does not count; see mirror.Finding.
	Tolerated []string
	// IsUnknown: gone, and the mirror has no row either. MayBeAnothers: gone, but
	// the row is or may be of another provider of the project.
	IsUnknown, MayBeAnothers bool
	// Err: the user could not be read or understood, while others can.
	Err error

	event mirror.Event
}

// NeedsRepair reports that the mirror should be brought to the answer.
func (a *Answer) NeedsRepair() bool { return a.Err == nil && a.Finding != mirror.Equal }

// Read asks about users. The error is that of a Source or of the mirror, and says
// when to go on; the answers that came before it are given with it.
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

// ask asks about one user.
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
		return &Answer{UserID: id, Err: err}, nil // perhaps about this user alone
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

// mayBeAnothers reports a row that another provider of the project may know, so that
// this one's not knowing it says nothing.
func (r *Reader) mayBeAnothers(c mirror.Clocks) bool {
	if c.Provider == nil {
		return !r.Account.Alone
	}
	return *c.Provider != r.Provider
}

// deletion is the event of a user whom the provider does not have.
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
			DeletedClock: clock, SentAt: asked, Fields: provider.Fields{provider.DeletedAt: &since},
		},
		Provider: r.Provider, ReceivedAt: asked, NoLedger: true,
	}
}

// compare fills in the findings of users whom the provider has.
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
