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

// The first page of changes that a job reads is a small one, the next are as many as weigh
// little. So a page of large users neither fills the memory nor takes longer to read than a call may, which
// it would do again and again.
const (
	relayFirst = 64
	relayPage  = 500
	relayBytes = 32 << 20 // of the rows of a page
	// wantTime is how long one destination may choose among the changes of a page. One whose condition
	// takes long is moved on by what it has come to, and the others of the project have their turn.
	wantTime = 2 * time.Second
)

// nextPage is how many changes to read after a page of that many.
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

// relayWorker works relay_changes.
type relayWorker struct {
	river.WorkerDefaults[RelayArgs]
	*Outbox
}

// Work makes the deliveries of a project's changes until there are no more. If the
// process dies, the next job goes on from where each destination stands.
func (w *relayWorker) Work(ctx context.Context, job *river.Job[RelayArgs]) error {
	err := w.relay(ctx, job)
	if err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return nil
}

// Timeout leaves the project's database its own time limits.
func (w *relayWorker) Timeout(*river.Job[RelayArgs]) time.Duration { return jobTimeout }

// NextRetry comes back soon after the death of a worker.
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

// subscriber is a destination and how far it is.
type subscriber struct {
	ID         uuid.UUID
	Type       string
	EventTypes []string
	Fields     []string
	Condition  *string
	Cursor     int64
}

// standing is a flow with what its mirror has lost.
type standing struct {
	subscriber
	loss
}

// A destination whose filter halted goes no further until a person has changed it or has resumed the
// destination: the feed keeps its changes.
const selectSubscribers = `
	SELECT d.id, d.type, d.event_types, d.fields, d.condition, f.cursor, ` + lossColumns + `
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS f ON f.destination_id = d.id` + lossJoin + `
	WHERE d.project_id = $1 AND NOT d.filter_halted
	ORDER BY f.cursor, d.id`

// relayAll relays page by page. Destinations that stand at the same place share a
// page; of several places each gets its turn, so that one that is given the past does
// not hold up the others. done is false if the time was up before the end.
func (o *Outbox) relayAll(ctx context.Context, projectID uuid.UUID, until time.Time) (done bool, err error) {
	ended := make(map[int64]bool)        // places behind which there was nothing more
	waiting := make(map[uuid.UUID]error) // destinations that go no further now; the others do
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

// relayGroup relays a page to destinations that stand at the same place. end is that
// behind which there was nothing more, next how many changes to read in the next page. Who has to wait is added to waiting.
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
			return nil, page, nil // it came just now
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

// newDelivery is a change as authsync.make_deliveries takes it.
type newDelivery struct {
	ChangeID  int64     `json:"change_id"`
	UserID    string    `json:"user_id"`
	EventType string    `json:"event_type"`
	Changed   []string  `json:"changed"`
	ChangedAt time.Time `json:"changed_at"`
	EventID   string    `json:"event_id"`
	Reason    *string   `json:"reason,omitempty"`
	// DeliveryID is that of the change as it was made first; see unrepeated.
	DeliveryID *int64 `json:"delivery_id,omitempty"`
}

// relayTo makes a destination's deliveries of a page and moves it on, at once.
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
	if made == nil { // another worker, which took this one for dead, was faster
		o.config.Log.DebugContext(ctx, "page_relayed_elsewhere", slog.String("destination_id", f.ID.String()))
	}
	if destination.Unavailable(stop) {
		return &waitError{after: unavailableFor, reason: stop.Error()}
	}
	return nil
}

// unavailableFor is how long a project waits for a worker that could not be had for an expression.
const unavailableFor = 5 * time.Second

// wanted gives the changes that a destination wants, among as many as it can be asked about in a time, which
// is at least one. One of which that cannot be said is made as failed, so that nothing is dropped silently. stop is why the
// first change that was not seen was not: the filter costs workers again and again (destination.Halts), or none
// could be had now (destination.Unavailable).
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

// The kinds of change that the feed has; see capydb_auth.user_changes.
const (
	feedCreated = "created"
	feedUpdated = "updated"
)

// eventType gives the event type of a change of the feed.
func eventType(kind string) string { return "user." + kind }

// eventMessage is a change as an event of its own.
func eventMessage(destinationID, projectID uuid.UUID, c *mirror.FeedChange) destination.Message {
	return destination.Message{
		ID: destination.MessageID(destinationID, c.ID), ChangeID: c.ID, ProjectID: projectID, UserID: c.UserID, EventType: eventType(c.Kind),
		Changed: c.Changed, User: c.User, Before: c.Before, Provider: c.Provider, EventID: c.EventID, EventAt: c.EventAt, ChangedAt: c.ChangedAt,
	}
}

// becauseRestored is what a person is told of a destination whose feed went back.
const becauseRestored = "The project's database has lost changes that were delivered, as if it was restored from a copy. " +
	"Deliveries go on with the changes that come now; run a reconcile, and replay what is missing."

const noteRestored = `
	UPDATE authsync.destinations AS d
	SET state_reason = $2
	WHERE d.id = $1 AND d.state = 'active' AND d.state_reason IS NULL`

// restored sees to it that destinations go on after a project's database has lost
// changes: ids that they have heard of do not come again with another meaning. It is
// said, because what was lost may be missing in the mirror, or at the destination. They stay where they are: what
// comes now has greater ids.
func (o *Outbox) restored(ctx context.Context, projectID uuid.UUID, group []standing, newest int64) error {
	from := group[0].Cursor
	if err := o.config.Feed.SkipChangeIDs(ctx, projectID, from); err != nil {
		return err
	}
	for i := range group {
		tag, err := o.config.Pool.Exec(ctx, noteRestored, group[i].ID, becauseRestored)
		if err != nil {
			return fmt.Errorf("note that the feed went back: %w", err)
		}
		if tag.RowsAffected() > 0 {
			o.config.Log.ErrorContext(ctx, "change_feed_rewound", slog.String("project_id", projectID.String()),
				slog.String("destination_id", group[i].ID.String()), slog.Int64("from", from), slog.Int64("to", newest))
		}
	}
	return nil
}
