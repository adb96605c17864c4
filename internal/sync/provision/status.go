package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/redact"
)

// Status is a webhook and how far it is.
type Status struct {
	// State is one of the states, or Unmanaged.
	State string
	// ID is the provider's; empty if none is known. Made reports that authsync created it.
	ID         string
	Made       bool
	URL        string
	EventTypes []string
	Steps      []Step
	Missing    []string
	Problem    string
	// Differences are what the last comparison found; ComparedAt is nil if there was none. Unknown says why
	// a comparison that was asked for could not be made.
	Differences []string
	ComparedAt  *time.Time
	Unknown     string
}

// Unmanaged is the state of a webhook that was set up and is no longer followed, because the option was
// taken back.
const Unmanaged = "unmanaged"

// Step is one of the steps that lead to a webhook.
type Step struct {
	Name string
	// State is done, waiting or failed.
	State string
	// Detail is a sentence about it without a full stop.
	Detail string
}

// The states of a step.
const (
	Done    = "done"
	Waiting = "waiting"
	Failed  = "failed"
)

// Status returns the webhook of an integration; nil if authsync was never asked for one. With compare it
// asks the provider, for a few seconds at most, unless it did so lately.
func (w *Webhooks) Status(ctx context.Context, projectID uuid.UUID, name string, compare bool) (*Status, error) {
	r, err := w.store.find(ctx, projectID, name)
	if err != nil || r == nil {
		return nil, err
	}
	s := &Status{
		State: r.State, Made: r.IsMade, EventTypes: r.EventTypes, Steps: steps(r), Missing: r.MissingPermissions,
		Differences: r.Differences, ComparedAt: r.ComparedAt,
	}
	if !r.IsWanted {
		s.State = Unmanaged
	}
	s.ID, s.URL, s.Problem = deref(r.WebhookID), deref(r.URL), deref(r.Problem)
	if !compare || !r.IsWanted || r.State == Pending && r.WebhookID == nil {
		return s, nil
	}
	c := w.compareNow(ctx, r)
	if s.Unknown = c.unknown; c.unknown == "" {
		s.Differences, s.ComparedAt = c.differences, &c.at
	}
	return s, nil
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// steps are the steps in their order. The first that is not done waits, or has failed.
func steps(r *row) []Step {
	title := provider.Title(r.Provider)
	webhook := ""
	if r.WebhookID != nil {
		webhook = "adopted " + *r.WebhookID + ", which went to the receiver already"
		if r.IsMade {
			webhook = "created " + *r.WebhookID
		}
		webhook += fmt.Sprintf("; it sends %d event types to %s", len(r.EventTypes), deref(r.URL))
	}
	all := []struct {
		name string
		at   *time.Time
		done string
	}{
		{"permissions", r.AllowedAt, "the credentials have the permissions that " + title + " requires"},
		{"webhook", r.EnsuredAt, webhook},
		{"test_sent", r.TestSentAt, title + " was asked to send its test event"},
		{"test_arrived", r.ArrivedAt, "the test event has arrived"},
	}
	open := slices.IndexFunc(all, func(s struct {
		name string
		at   *time.Time
		done string
	},
	) bool {
		return s.at == nil
	})
	list := make([]Step, len(all))
	for i, one := range all {
		list[i] = Step{Name: one.name, State: Waiting}
		switch {
		case open < 0 || i < open:
			list[i].State, list[i].Detail = Done, one.done
		case i == open && r.State == Blocked:
			list[i].State, list[i].Detail = Failed, deref(r.Problem)
		case i == open:
			list[i].Detail = deref(r.Problem)
		}
		if i == open && len(r.MissingPermissions) > 0 {
			list[i].Detail += "; missing: " + strings.Join(r.MissingPermissions, ", ")
		}
	}
	return list
}

const (
	// compareTime limits a comparison that a person waits for.
	compareTime = 5 * time.Second
	// compareAgain is how long its result is shown without asking the provider again.
	compareAgain = 20 * time.Second
)

// comparison is the result of one.
type comparison struct {
	differences []string
	unknown     string
	at          time.Time
	requestSeq  int64
}

// compareNow compares the webhook with what it should be.
func (w *Webhooks) compareNow(ctx context.Context, r *row) comparison {
	key, now := r.ProjectID.String()+"/"+r.Provider, w.config.Now()
	w.mu.Lock()
	last, known := w.compared[key]
	w.mu.Unlock()
	if known && last.requestSeq == r.RequestSeq && now.Sub(last.at) < compareAgain {
		return last
	}
	ctx, cancel := context.WithTimeoutCause(ctx, compareTime, fmt.Errorf("it did not answer within %s", compareTime))
	defer cancel()
	c := comparison{at: now, requestSeq: r.RequestSeq}
	differences, err := w.differences(ctx, r)
	if c.differences = differences; err != nil {
		c.unknown = "unknown: " + provider.Title(r.Provider) + " could not be asked: " + redact.Reason(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.compared) >= maxOpened {
		clear(w.compared)
	}
	w.compared[key] = c
	return c
}

func (w *Webhooks) differences(ctx context.Context, r *row) ([]string, error) {
	a, err := w.open(ctx, r.ProjectID, r.Provider)
	if err != nil {
		return nil, err
	}
	want := w.want(r.ProjectID, r)
	found, err := a.Find(ctx, want)
	if err != nil {
		return nil, err
	}
	return a.Differences(found, want), nil
}

const (
	// removeTime limits the calls of Remove.
	removeTime = 20 * time.Second
	// leaseTries and leaseTick are how long it waits for a job that is changing the webhook.
	leaseTries, leaseTick = 20, 250 * time.Millisecond
)

// Remove removes the webhook of an integration that is about to be deleted, if authsync made it. An
// integration that never asked for one has none. Until the integration is deleted, or for some seconds,
// no job sets it up again. Errors: those of a Source; fault.WrongState if a job holds it for too long.
func (w *Webhooks) Remove(ctx context.Context, projectID uuid.UUID, name string) error {
	r, err := w.store.find(ctx, projectID, name)
	if err != nil || r == nil || r.WebhookID != nil && !r.IsMade {
		return err
	}
	lease, err := w.waitForLease(ctx, projectID, name)
	if err != nil {
		return err
	}
	if err := w.remove(ctx, projectID, name); err != nil {
		w.store.release(ctx, projectID, name, lease)
		return err
	}
	return nil
}

func (w *Webhooks) waitForLease(ctx context.Context, projectID uuid.UUID, name string) (uuid.UUID, error) {
	tick := time.NewTicker(leaseTick)
	defer tick.Stop()
	for range leaseTries {
		lease, err := w.store.lease(ctx, projectID, name)
		if err != nil || lease != uuid.Nil {
			return lease, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return uuid.Nil, context.Cause(ctx)
		}
	}
	return uuid.Nil, fault.New(fault.WrongState, "the webhook is being set up at the provider just now: try again in a minute")
}

// remove holds the lease. What it removes may be known by its key only: the call that made it may have been
// cut off.
func (w *Webhooks) remove(ctx context.Context, projectID uuid.UUID, name string) error {
	r, err := w.store.find(ctx, projectID, name)
	if err != nil || r == nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, removeTime, errSlow)
	defer cancel()
	a, err := w.open(ctx, projectID, name)
	if err != nil {
		return err
	}
	found, err := a.Find(ctx, w.want(projectID, r))
	var coded *fault.Error
	switch {
	case errors.As(err, &coded) && coded.Code == fault.Unsupported: // one of another authsync's
		return nil
	case err != nil:
		return err
	case found == nil || !found.Made:
		return nil
	}
	if err := a.Remove(ctx, found.ID); err != nil {
		return err
	}
	return w.store.forgetWebhook(ctx, r)
}
