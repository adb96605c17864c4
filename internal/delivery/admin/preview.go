package admin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// Preview shows what would be sent to a destination for a change.
type Preview struct {
	Wanted    bool
	Why       string // why it is sent or not
	MessageID string
	Requests  []destination.Request
}

// ErrNoChange means that the change does not exist, or that the record has none.
var ErrNoChange = fault.New(fault.ChangeNotFound,
	"the project's mirror has no such record, or no change of it: GET …/users/{user} and GET …/records/{record_type}/{record_id} show changes")

const selectPreviewed = `
	SELECT ` + subscription.Columns + `, d.updated_at, l.external_id
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS f ON f.destination_id = d.id
	LEFT JOIN authsync.external_ids AS l ON l.destination_id = d.id AND l.record_type = $2 AND l.record_id = $3
	WHERE d.id = $1`

// Preview returns the requests for a change without sending them: the change with the given id, or the record's
// newest if that is 0.
func (a *Admin) Preview(ctx context.Context, projectID, destinationID uuid.UUID, ref record.Ref, changeID int64) (Preview, error) {
	c, err := a.changeOf(ctx, projectID, ref, changeID)
	if err != nil {
		return Preview{}, err
	}
	t, err := a.previewed(ctx, destinationID, record.Ref{Type: c.RecordType, ID: c.RecordID})
	if err != nil {
		return Preview{}, err
	}
	to, err := a.config.Destinations.Get(ctx, destinationID, t.UpdatedAt)
	if err != nil {
		return Preview{}, err
	}
	return a.preview(ctx, c, to, t)
}

// Draft is a destination that is not stored. Its config is one that was checked.
type Draft struct {
	Type               string
	EventTypes, Fields []string
	Condition          *string
	Config             destination.Config
}

// PreviewDraft is Preview for a destination before it is created or changed. It knows of no record at the destination.
func (a *Admin) PreviewDraft(ctx context.Context, projectID uuid.UUID, d Draft, ref record.Ref, changeID int64) (Preview, error) {
	c, err := a.changeOf(ctx, projectID, ref, changeID)
	if err != nil {
		return Preview{}, err
	}
	to, err := a.config.Destinations.Build(destcache.Opened{Type: d.Type, Config: d.Config})
	if err != nil {
		return Preview{}, err
	}
	return a.preview(ctx, c, to, previewed{Subscription: subscription.Subscription{
		ID: d.Config.ID, ProjectID: projectID, Type: d.Type, EventTypes: d.EventTypes, Fields: d.Fields, Condition: d.Condition,
	}})
}

// changeOf reads a change by its id, or the newest one of a record.
func (a *Admin) changeOf(ctx context.Context, projectID uuid.UUID, ref record.Ref, changeID int64) (c mirror.FeedChange, err error) {
	if changeID == 0 {
		if changeID, err = a.config.Feed.LatestChange(ctx, projectID, ref); err != nil {
			return c, err
		}
	}
	changes, err := a.config.Feed.ChangesByID(ctx, projectID, []int64{changeID})
	if err != nil {
		return c, err
	}
	if len(changes) == 0 {
		return c, ErrNoChange
	}
	return changes[0], nil
}

// preview returns what a destination would send of a change.
func (a *Admin) preview(ctx context.Context, c mirror.FeedChange, to *destcache.Destination, t previewed) (Preview, error) {
	messages := delivery.Messages{Feed: a.config.Feed, DestinationID: t.ID, ProjectID: t.ProjectID}
	message := messages.Of(&c)
	p := Preview{MessageID: message.ID, Requests: []destination.Request{}}
	filter, err := a.config.Filters.Compile(&t.Subscription)
	if err != nil {
		return Preview{}, err
	}
	var unsaid error
	if p.Wanted, p.Why, unsaid = filter.Wants(message); destination.Unavailable(unsaid) {
		return Preview{}, unsaid
	}
	if unsaid != nil {
		p.Wanted, p.Why = true, "whether it is wanted cannot be said, so its delivery would fail: "+unsaid.Error()
	}
	if !to.Capabilities.Takes(c.RecordType) { // its event types do not want it either
		return p, nil
	}
	if to.Capabilities.States {
		if message, err = stateOf(ctx, messages, c.ID); err != nil {
			return Preview{}, err
		}
	}
	if to.Capabilities.Organizations {
		one := map[int64]destination.Message{c.ID: message}
		if err := messages.AddOrganizations(ctx, one); err != nil {
			return Preview{}, err
		}
		message = one[c.ID]
	}
	message.Attempt = 1
	if t.ExternalID != nil {
		message.ExternalID = *t.ExternalID
	}
	requests, err := to.Preview(ctx, message)
	if err != nil {
		return Preview{}, err
	}
	p.Requests = append(p.Requests, requests...)
	return p, nil
}

// stateOf returns the message of one change for a destination that takes states.
func stateOf(ctx context.Context, messages delivery.Messages, changeID int64) (destination.Message, error) {
	states, err := messages.States(ctx, []int64{changeID}, []int64{changeID}, []int64{math.MaxInt64})
	if err != nil {
		return destination.Message{}, err
	}
	message, ok := states[changeID]
	if !ok {
		return destination.Message{}, ErrNoChange
	}
	return message, nil
}

// previewed is a destination, and what it knows of a record.
type previewed struct {
	subscription.Subscription

	UpdatedAt  time.Time
	ExternalID *string
}

func (a *Admin) previewed(ctx context.Context, destinationID uuid.UUID, ref record.Ref) (previewed, error) {
	t, err := pgdb.CollectOne[previewed](ctx, a.config.Pool, selectPreviewed, destinationID, ref.Type, ref.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return previewed{}, delivery.ErrNoDestination
	}
	if err != nil {
		return previewed{}, fmt.Errorf("read the destination: %w", err)
	}
	return t, nil
}
