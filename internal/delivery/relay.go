package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
)

// The first page of a job is small; the size of later ones depends on the size of the rows. A page of large
// users must neither fill the memory nor exceed the time limit of a read, on which the job would fail again
// and again.
const (
	relayFirst = 64
	relayPage  = 500
	relayBytes = 32 << 20 // bytes of rows per page
	// wantTime limits the time one destination's filter may spend on a page. A slow one advances as far as it
	// got, and the project's other destinations get their turn.
	wantTime = 2 * time.Second
)

// nextPage returns the size of the page after this one.
func nextPage(page int, changes []mirror.FeedChange) int {
	bytes := 0
	for i := range changes {
		bytes += len(changes[i].User) + len(changes[i].Before)
	}
	if bytes > relayBytes {
		return max(len(changes)*relayBytes/bytes, 1)
	}
	if bytes > relayBytes/2 {
		return page
	}
	return min(2*page, relayPage)
}

// relayWorker works relay_changes jobs.
type relayWorker struct {
	river.WorkerDefaults[RelayArgs]
	*Outbox
}

// Work makes the deliveries of a project's changes until none is left. If the process dies, the next job
// continues from each destination's cursor.
func (w *relayWorker) Work(ctx context.Context, job *river.Job[RelayArgs]) error {
	err := w.relay(ctx, job)
	if err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return nil
}

// Timeout is longer than the time limits of the project's database.
func (w *relayWorker) Timeout(*river.Job[RelayArgs]) time.Duration { return jobTimeout }

// NextRetry retries soon after a crashed worker.
func (w *relayWorker) NextRetry(job *river.Job[RelayArgs]) time.Time { return w.retrySoon(job.Attempt) }

func (w *relayWorker) relay(ctx context.Context, job *river.Job[RelayArgs]) error {
	until := time.Now().Add(w.config.Slice)
	for {
		done, err := w.relayAll(ctx, job.Args.ProjectID, until)
		if err != nil {
			return err
		}
		if !done {
			return jobs.Yield(ctx)
		}
		finished, err := jobs.Release(ctx, w.config.Pool, job.JobRow, job.Args.ProjectID.String(), w.config.Now())
		switch {
		case err != nil:
			return err
		case finished == jobs.Idle:
			return w.recheck(ctx, job.Args.ProjectID)
		case finished == jobs.Lost:
			return nil
		}
	}
}

// recheck looks for changes after the project went idle, and requests a job for them. If that
// fails, the job runs once more, finds that the project has no job, and requests one.
func (w *relayWorker) recheck(ctx context.Context, projectID uuid.UUID) error {
	flows, err := query[standing](ctx, w.config.Pool, selectSubscribers, projectID)
	if err != nil {
		return fmt.Errorf("read the destinations: %w", err)
	}
	if len(flows) == 0 {
		return nil
	}
	newest, err := w.config.Feed.ChangeCursor(ctx, projectID, time.Time{})
	if err == nil && !slices.ContainsFunc(flows, func(f standing) bool { return f.Cursor < newest }) {
		return nil
	}
	return RequestRelay(ctx, w.config.Pool, projectID)
}

// subscriber is a destination and its cursor.
type subscriber struct {
	ID         uuid.UUID
	Type       string
	EventTypes []string
	Fields     []string
	Condition  *string
	Cursor     int64
}

// standing is a subscriber with what its mirror has lost.
type standing struct {
	subscriber
	loss
}

// A destination whose filter halted stays where it is until a user changes or resumes it. The feed keeps its
// changes.
const selectSubscribers = `
	SELECT d.id, d.type, d.event_types, d.fields, d.condition, f.cursor, ` + lossColumns + `
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS f ON f.destination_id = d.id` + lossJoin + `
	WHERE d.project_id = $1 AND NOT d.filter_halted
	ORDER BY f.cursor, d.id`

// relayAll relays page by page. Destinations with the same cursor share a page; the groups take turns, so that
// a destination reading the past does not hold up the others. done is false if the time slice was used up
// first.
func (o *Outbox) relayAll(ctx context.Context, projectID uuid.UUID, until time.Time) (done bool, err error) {
	ended := make(map[int64]bool)        // places behind which there was nothing more
	waiting := make(map[uuid.UUID]error) // destinations that cannot advance now
	page := relayFirst
	for turn := 0; ; turn++ {
		flows, err := query[standing](ctx, o.config.Pool, selectSubscribers, projectID)
		if err != nil {
			return false, fmt.Errorf("read the destinations: %w", err)
		}
		var groups [][]standing
		for _, f := range flows {
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
			for _, err := range waiting {
				return false, err
			}
			return true, nil
		}
		if time.Now().After(until) {
			return false, nil
		}
		end, next, err := o.relayGroup(ctx, projectID, groups[turn%len(groups)], page, waiting)
		if err != nil {
			return false, err
		}
		if end != nil {
			ended[*end] = true
		}
		page = next
	}
}

// relayGroup relays a page to destinations with the same cursor. end is the cursor after which nothing more
// was found, next the size of the next page. Destinations that must wait are added to waiting.
func (o *Outbox) relayGroup(ctx context.Context, projectID uuid.UUID, group []standing, page int, waiting map[uuid.UUID]error) (end *int64, next int, err error) {
	from := group[0].Cursor
	changes, err := o.config.Feed.ReadChanges(ctx, projectID, from, page)
	if err != nil {
		return nil, 0, err
	}
	if len(changes) == 0 {
		newest, err := o.config.Feed.ChangeCursor(ctx, projectID, time.Time{})
		switch {
		case err != nil:
			return nil, 0, err
		case newest < from:
			return &from, page, o.restored(ctx, projectID, group, newest)
		case newest > from:
			return nil, page, nil // created just now
		}
		return &from, page, nil
	}
	for i := range group {
		err := o.relayTo(ctx, projectID, &group[i], changes)
		if _, is := errors.AsType[*waitError](err); is {
			waiting[group[i].ID] = err
			continue
		}
		if err != nil {
			return nil, 0, err
		}
	}
	next = nextPage(page, changes)
	if len(changes) < page {
		return &changes[len(changes)-1].ID, next, nil
	}
	return nil, next, nil
}

// newDelivery is a delivery in the format of authsync.make_deliveries.
type newDelivery struct {
	ChangeID  int64     `json:"change_id"`
	UserID    string    `json:"user_id"`
	EventType string    `json:"event_type"`
	Changed   []string  `json:"changed"`
	ChangedAt time.Time `json:"changed_at"`
	EventID   string    `json:"event_id"`
	Reason    *string   `json:"reason,omitempty"`
	// DeliveryID is the delivery of the original change; see unrepeated.
	DeliveryID *int64 `json:"delivery_id,omitempty"`
}

// relayTo makes a destination's deliveries of a page and moves its cursor, atomically.
func (o *Outbox) relayTo(ctx context.Context, projectID uuid.UUID, f *standing, changes []mirror.FeedChange) error {
	kept, moved, err := o.unrepeated(ctx, f, changes)
	if err != nil {
		return err
	}
	chosen, seen, stop := o.wanted(projectID, f.subscriber, kept, wantTime)
	to := f.Cursor
	switch {
	case seen == len(kept):
		to = changes[len(changes)-1].ID
	case seen > 0:
		to = kept[seen-1].ID
	}
	for i := range moved {
		if moved[i].ChangeID <= to {
			chosen = append(chosen, moved[i])
		}
	}
	wanted, err := json.Marshal(chosen)
	if err != nil {
		return fmt.Errorf("write deliveries: %w", err)
	}
	var made *int64
	if destination.Halts(stop) {
		made, err = o.relayAndHalt(ctx, projectID, f.subscriber, to, wanted, stop)
	} else if err = o.config.Pool.QueryRow(ctx, relayAPage, f.ID, f.Cursor, to, wanted, o.config.Now()).Scan(&made); err != nil {
		err = fmt.Errorf("make deliveries: %w", err)
	}
	if err != nil {
		return err
	}
	if made == nil { // another worker, which presumed this one dead, was faster
		o.config.Log.DebugContext(ctx, "page_relayed_elsewhere", slog.String("destination_id", f.ID.String()))
	}
	if destination.Unavailable(stop) {
		return &waitError{after: unavailableFor, reason: stop.Error()}
	}
	return nil
}

// unavailableFor is how long a project waits when no worker is available for an expression.
const unavailableFor = 5 * time.Second

// wanted returns the changes that a destination takes, out of as many as its filter can check within wantTime,
// at least one. A change whose filter fails becomes a failed delivery, so that nothing is dropped silently.
// stop is why the first unchecked change was not checked: the filter keeps costing workers
// (destination.Halts), or none is available now (destination.Unavailable).
func (o *Outbox) wanted(
	projectID uuid.UUID, f subscriber, changes []mirror.FeedChange, most time.Duration,
) (wanted []newDelivery, seen int, stop error) {
	wanted = make([]newDelivery, 0, len(changes))
	selection := o.filter(f)
	until := o.config.Now().Add(most)
	for i := range changes {
		if i > 0 && !o.config.Now().Before(until) {
			return wanted, i, nil
		}
		c := &changes[i]
		d := newDelivery{ChangeID: c.ID, UserID: c.UserID, EventType: eventType(c.Kind), Changed: c.Changed, ChangedAt: c.ChangedAt, EventID: c.EventID}
		err := selection.broken
		if err == nil {
			var is bool
			if is, _, err = selection.Wants(eventMessage(f.ID, projectID, c)); err == nil && !is {
				continue
			}
		}
		if destination.Halts(err) || destination.Unavailable(err) {
			return wanted, i, err
		}
		if err != nil {
			reason := "whether the destination wants this change cannot be said: " + err.Error()
			d.Reason = &reason
		}
		wanted = append(wanted, d)
	}
	return wanted, len(changes), nil
}

// The kinds of change in the feed; see capydb_auth.user_changes.
const (
	feedCreated = "created"
	feedUpdated = "updated"
)

// eventType returns the event type of a kind of change.
func eventType(kind string) string { return "user." + kind }

// eventMessage returns a change as an event.
func eventMessage(destinationID, projectID uuid.UUID, c *mirror.FeedChange) destination.Message {
	return destination.Message{
		ID: destination.MessageID(destinationID, c.ID), ChangeID: c.ID, ProjectID: projectID, UserID: c.UserID, EventType: eventType(c.Kind),
		Changed: c.Changed, User: c.User, Before: c.Before, Provider: c.Provider, EventID: c.EventID, EventAt: c.EventAt, ChangedAt: c.ChangedAt,
	}
}

// becauseRestored is the notice on a destination whose feed went back.
const becauseRestored = "The project's database has lost changes that were delivered, as after a restore from a backup. " +
	"Deliveries continue with new changes; run a reconcile, and replay what is missing."

const noteRestored = `
	UPDATE authsync.destinations AS d
	SET state_reason = $2
	WHERE d.id = $1 AND d.state = 'active' AND d.state_reason IS NULL`

// restored lets destinations continue after a project's database has lost changes: ids already relayed are not
// reused. It leaves a notice, because the lost changes may be missing in the mirror or at the destination.
// Cursors stay: new changes have greater ids.
func (o *Outbox) restored(ctx context.Context, projectID uuid.UUID, group []standing, newest int64) error {
	from := group[0].Cursor
	if err := o.config.Feed.SkipChangeIDs(ctx, projectID, from); err != nil {
		return err
	}
	for i := range group {
		tag, err := o.config.Pool.Exec(ctx, noteRestored, group[i].ID, becauseRestored)
		if err != nil {
			return fmt.Errorf("record that the feed went back: %w", err)
		}
		if tag.RowsAffected() > 0 {
			o.config.Log.ErrorContext(ctx, "change_feed_rewound", slog.String("project_id", projectID.String()),
				slog.String("destination_id", group[i].ID.String()), slog.Int64("from", from), slog.Int64("to", newest))
		}
	}
	return nil
}
