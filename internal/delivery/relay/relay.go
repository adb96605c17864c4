// Package relay is the station between the feed of changes and the deliveries: the job relay_changes, one per project
// at a time, reads the feed from each destination's cursor and makes a delivery of each change that the destination
// takes.
//
// It promises that every change behind a destination's cursor is a delivery or was refused by the destination's
// filter, and that deliveries are made in the order of the changes. The cursor moves in the transaction
// that makes the deliveries: if the process dies, the next job continues from there. A change whose request for a job
// was lost is found by the package upkeep.
package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
)

// Feed reads the changes of a project one after another; see mirror.Mirrors. Its methods return a *tenantdb.DelayError
// if the project's database is unavailable.
type Feed interface {
	subscription.Feed
	ReadChanges(ctx context.Context, projectID uuid.UUID, after int64, limit int) ([]mirror.FeedChange, error)
	ChangeCursor(ctx context.Context, projectID uuid.UUID, since time.Time) (int64, error)
	SkipChangeIDs(ctx context.Context, projectID uuid.UUID, to int64) error
}

// Config configures a Relay.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Feed    Feed
	Filters *subscription.Filters
	Log     *slog.Logger
	// Slice is how long a job works before it yields; 0 means 10 s.
	Slice time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Pause replaces pauses in tests; nil keeps them.
	Pause func(time.Duration) time.Duration
}

// Relay makes deliveries of changes. It is safe for concurrent use.
type Relay struct {
	config Config
}

// New returns a Relay. It starts nothing: see Register.
func New(config Config) (*Relay, error) {
	if config.Pool == nil || config.Feed == nil || config.Filters == nil {
		return nil, errors.New("a relay needs Pool, Feed and Filters")
	}
	config.Slice = cmp.Or(config.Slice, delivery.Slice)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Pause == nil {
		config.Pause = func(pause time.Duration) time.Duration { return pause }
	}
	return &Relay{config: config}, nil
}

// maxWorkers limits the jobs per process. They mostly wait for the projects' databases.
const maxWorkers = 50

// Register adds the worker and its queue to the configuration of a River client.
func (r *Relay) Register(workers *river.Workers, queues map[string]river.QueueConfig) {
	river.AddWorker(workers, &worker{relay: r})
	queues[delivery.QueueRelay] = river.QueueConfig{MaxWorkers: maxWorkers}
}

// worker works relay_changes jobs.
type worker struct {
	river.WorkerDefaults[delivery.RelayArgs]

	relay *Relay
}

// Work makes the deliveries of a project's changes until none is left. If the process dies, the next job
// continues from each destination's cursor.
func (w *worker) Work(ctx context.Context, job *river.Job[delivery.RelayArgs]) error {
	if err := w.relay.work(ctx, job); err != nil {
		return delivery.Snooze(ctx, job.JobRow, err, w.relay.config.Pause)
	}
	return nil
}

// Timeout is longer than the time limits of the project's database.
func (w *worker) Timeout(*river.Job[delivery.RelayArgs]) time.Duration { return delivery.JobTimeout }

// NextRetry retries soon after a crashed worker.
func (w *worker) NextRetry(job *river.Job[delivery.RelayArgs]) time.Time {
	return delivery.RetrySoon(w.relay.config.Now(), job.Attempt)
}

func (r *Relay) work(ctx context.Context, job *river.Job[delivery.RelayArgs]) error {
	until := time.Now().Add(r.config.Slice)
	for {
		done, err := r.relayAll(ctx, job.Args.ProjectID, until)
		if err != nil {
			return err
		}
		if !done {
			return jobs.Yield(ctx)
		}
		finished, err := jobs.Release(ctx, r.config.Pool, job.JobRow, job.Args.ProjectID.String(), r.config.Now())
		switch {
		case err != nil:
			return err
		case finished == jobs.Idle:
			return r.recheck(ctx, job.Args.ProjectID)
		case finished == jobs.Lost:
			return nil
		}
	}
}

// recheck looks for changes, and deletions that are due, after the project went idle, and requests a job for them. If that
// fails, the job runs once more, finds that the project has no job, and requests one.
func (r *Relay) recheck(ctx context.Context, projectID uuid.UUID) error {
	standings, err := pgdb.Collect[standing](ctx, r.config.Pool, selectSubscribers, pgdb.Planned, projectID)
	if err != nil {
		return fmt.Errorf("read the destinations: %w", err)
	}
	if len(standings) == 0 {
		return nil
	}
	newest, err := r.config.Feed.ChangeCursor(ctx, projectID, time.Time{})
	now := r.config.Now()
	if err == nil && !slices.ContainsFunc(standings, func(f standing) bool { return f.Cursor < newest || f.isDue(now) }) {
		return nil
	}
	return delivery.RequestRelay(ctx, r.config.Pool, projectID)
}

// standing is a destination's subscription with what its mirror has lost.
type standing struct {
	subscription.Subscription
	delivery.Loss

	HeldFrom *time.Time // the earliest of the deletions that are held back; nil: there are none
}

// isDue reports whether a deletion is held no longer at a time.
func (f *standing) isDue(at time.Time) bool {
	if f.HeldFrom == nil {
		return false
	}
	return f.Holdback == nil || !f.HeldFrom.Add(*f.Holdback).After(at)
}

// A destination whose filter halted stays where it is until a user changes or resumes it. The feed keeps its
// changes.
const selectSubscribers = `
	SELECT ` + subscription.Columns + `, ` + delivery.LossColumns + `,
		(SELECT min(h.held_from) FROM authsync.deliveries AS h WHERE h.destination_id = d.id AND h.state = 'held') AS held_from
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS f ON f.destination_id = d.id` + delivery.LossJoin + `
	WHERE d.project_id = $1 AND NOT d.filter_halted
	ORDER BY f.cursor, d.id`

// relayAll relays page by page. Destinations with the same cursor share a page; the groups take turns, so that
// a destination reading the past does not hold up the others. done is false if the time slice was used up
// first.
func (r *Relay) relayAll(ctx context.Context, projectID uuid.UUID, until time.Time) (done bool, err error) {
	ended := make(map[int64]bool)        // places behind which there was nothing more
	waiting := make(map[uuid.UUID]error) // destinations that cannot advance now
	page := delivery.FirstPage
	begun := r.config.Now()
	for turn := 0; ; turn++ {
		standings, err := pgdb.Collect[standing](ctx, r.config.Pool, selectSubscribers, pgdb.Planned, projectID)
		if err != nil {
			return false, fmt.Errorf("read the destinations: %w", err)
		}
		var groups [][]standing
		for _, f := range standings {
			last := len(groups) - 1
			switch {
			case ended[f.Cursor], waiting[f.ID] != nil:
			case last >= 0 && groups[last][0].Cursor == f.Cursor:
				groups[last] = append(groups[last], f)
			default:
				groups = append(groups, []standing{f})
			}
		}
		if len(groups) == 0 {
			if err := r.releaseDue(ctx, standings, ended, begun); err != nil {
				return false, err
			}
			for _, err := range waiting {
				return false, err
			}
			return true, nil
		}
		if time.Now().After(until) {
			return false, nil
		}
		end, next, err := r.relayGroup(ctx, groups[turn%len(groups)], page, waiting)
		if err != nil {
			return false, err
		}
		if end != nil {
			ended[*end] = true
		}
		page = next
	}
}

// relayGroup relays a page of that many changes to destinations with the same cursor. end is the cursor after which
// nothing more was found, next the size of the next page. Destinations that must wait are added to waiting.
func (r *Relay) relayGroup(ctx context.Context, group []standing, page int, waiting map[uuid.UUID]error) (end *int64, next int, err error) {
	projectID, from := group[0].ProjectID, group[0].Cursor
	changes, err := r.config.Feed.ReadChanges(ctx, projectID, from, page)
	if err != nil {
		return nil, 0, err
	}
	if len(changes) == 0 {
		newest, err := r.config.Feed.ChangeCursor(ctx, projectID, time.Time{})
		switch {
		case err != nil:
			return nil, 0, err
		case newest < from:
			return &from, page, r.restored(ctx, group, newest)
		case newest > from:
			return nil, page, nil // created just now
		}
		return &from, page, nil
	}
	if group, err = r.again(ctx, group); err != nil {
		return nil, 0, err
	}
	for i := range group {
		err := r.relayTo(ctx, &group[i], changes)
		if _, is := errors.AsType[*delivery.WaitError](err); is {
			waiting[group[i].ID] = err
			continue
		}
		if err != nil {
			return nil, 0, err
		}
	}
	next = delivery.NextPage(page, changes)
	if len(changes) < page {
		return &changes[len(changes)-1].ID, next, nil
	}
	return nil, next, nil
}

// again reads a group's standings once more, after its page of changes. A loss is recorded before its repair makes
// the lost changes again, so that none of them is in a page whose losses are unknown. A destination that has moved
// meanwhile is left out.
func (r *Relay) again(ctx context.Context, group []standing) ([]standing, error) {
	standings, err := pgdb.Collect[standing](ctx, r.config.Pool, selectSubscribers, pgdb.Planned, group[0].ProjectID)
	if err != nil {
		return nil, fmt.Errorf("read the destinations: %w", err)
	}
	return slices.DeleteFunc(standings, func(f standing) bool {
		return f.Cursor != group[0].Cursor || !slices.ContainsFunc(group, func(g standing) bool { return g.ID == f.ID })
	}), nil
}

// relayTo makes a destination's deliveries of a page and moves its cursor, atomically.
func (r *Relay) relayTo(ctx context.Context, f *standing, changes []mirror.FeedChange) error {
	kept, moved, err := r.unrepeated(ctx, f, changes)
	if err != nil {
		return err
	}
	changes, kept, moved = f.settleHeld(changes, kept, moved)
	withheld, err := subscription.FindWithheld(ctx, r.config.Pool, r.config.Feed, &f.Subscription, &f.Loss, kept)
	if err != nil {
		return err
	}
	chosen := r.config.Filters.Choose(&f.Subscription, kept, withheld)
	p := page{to: f.Cursor}
	switch {
	case chosen.Checked == len(kept):
		p.to = changes[len(changes)-1].ID
	case chosen.Checked > 0:
		p.to = kept[chosen.Checked-1].ID
	}
	deliveries := chosen.Deliveries
	for i := range moved {
		if moved[i].ChangeID <= p.to {
			deliveries = append(deliveries, moved[i].Delivery)
		}
	}
	if p.deliveries, err = json.Marshal(deliveries); err != nil {
		return fmt.Errorf("write deliveries: %w", err)
	}
	var made *int64
	if destination.Halts(chosen.Stop) {
		made, err = r.makeAndHalt(ctx, &f.Subscription, p, chosen.Stop)
	} else {
		made, err = r.makeDeliveries(ctx, r.config.Pool, &f.Subscription, p)
	}
	if err != nil {
		return err
	}
	if made == nil { // another worker, which presumed this one dead, was faster, or somebody decided about a held deletion
		r.config.Log.DebugContext(ctx, "page_relayed_elsewhere", slog.String("destination_id", f.ID.String()))
	}
	if destination.Unavailable(chosen.Stop) {
		return &delivery.WaitError{After: unavailableFor, Reason: chosen.Stop.Error()}
	}
	return nil
}

// unavailableFor is how long a project waits when no worker is available for an expression.
const unavailableFor = 5 * time.Second

// reasonRestored is the notice on a destination whose feed went back.
const reasonRestored = "The project's database has lost changes that were delivered, as after a restore from a backup. " +
	"Deliveries continue with new changes; run a reconcile, and replay what is missing."

const noteRestored = `
	UPDATE authsync.destinations AS d
	SET state_reason = $2
	WHERE d.id = $1 AND d.state = 'active' AND d.state_reason IS NULL`

// restored lets destinations continue after a project's database has lost changes: ids already relayed are not
// reused. It leaves a notice, because the lost changes may be missing in the mirror or at the destination.
// Cursors stay: new changes have greater ids.
func (r *Relay) restored(ctx context.Context, group []standing, newest int64) error {
	projectID, from := group[0].ProjectID, group[0].Cursor
	if err := r.config.Feed.SkipChangeIDs(ctx, projectID, from); err != nil {
		return err
	}
	for i := range group {
		tag, err := r.config.Pool.Exec(ctx, noteRestored, group[i].ID, reasonRestored)
		if err != nil {
			return fmt.Errorf("record that the feed went back: %w", err)
		}
		if tag.RowsAffected() > 0 {
			r.config.Log.ErrorContext(ctx, "change_feed_rewound", slog.String("project_id", projectID.String()),
				slog.String("destination_id", group[i].ID.String()), slog.Int64("from", from), slog.Int64("to", newest))
		}
	}
	return nil
}
