package apply

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/selftest"
)

// rehearse removes self-test events from the batch. Each is applied together with the earlier
// events of its self-test and rolled back; see package selftest. An error means that no event's
// outcome is known.
func (c *Config) rehearse(ctx context.Context, projectID uuid.UUID, b *batch) error {
	events, places := b.toApply, b.places
	b.toApply, b.places = nil, nil
	for i := range events {
		e := &events[i]
		if !selftest.IsUserID(e.UserID) {
			b.toApply, b.places = append(b.toApply, *e), append(b.places, places[i])
			continue
		}
		finding, err := c.rehearseOne(ctx, projectID, e)
		if err != nil {
			return err
		}
		o := &b.outcomes[places[i]]
		o.Outcome, o.Reason = inbox.Ignored, joinReasons(o.Reason, finding.Reason())
	}
	return nil
}

func (c *Config) rehearseOne(ctx context.Context, projectID uuid.UUID, e *mirror.Event) (f selftest.Finding, err error) {
	before, err := c.Inbox.BeforeSelfTest(ctx, projectID, e.UserID, e.InboxID, e.ReceivedAt)
	if err != nil {
		return f, fmt.Errorf("load what the self-test sent before: %w", err)
	}
	history, _, err := c.decode(ctx, projectID, before)
	if err != nil {
		return f, err
	}
	var events []mirror.Event
	for _, earlier := range history.toApply {
		if earlier.UserID == e.UserID {
			events = append(events, earlier)
		}
	}
	r, err := c.Mirrors.Rehearse(ctx, projectID, append(events, *e))
	if err != nil {
		return f, err
	}
	last := r.Results[len(r.Results)-1]
	f.Outcome = last.Outcome
	if last.Err != nil {
		f.Outcome, f.Problem = inbox.Failed, pgdb.Describe(last.Err)
	}
	if r.User != nil {
		f.Row = selftest.Row{Exists: true, Email: text(r.User.Email), FirstName: text(r.User.FirstName), Deleted: r.User.DeletedAt != nil}
	}
	return f, nil
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}
