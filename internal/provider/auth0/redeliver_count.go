package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	statusFailed = "failed"
	// countPages limits the counting of one call over all its streams: 10,000 deliveries are twice
	// as many as may fail before Auth0 disables a stream, and 100 calls are two thirds of what the
	// smaller paid plans allow per minute.
	countPages = 100
	countTime  = 30 * time.Second
	// countTypes limits the event types counted separately; Auth0 has 25.
	countTypes = 50
	otherTypes = "other"
)

// budget is how much may still be read for counting. The redelivery does not depend on the count,
// so counting may end early.
type budget struct {
	pages int
	until time.Time
}

func (b *budget) spent(now time.Time) bool { return b.pages <= 0 || now.After(b.until) }

// countFailed adds the failed deliveries of a stream to the result, without keeping them.
func (s *source) countFailed(ctx context.Context, result *userapi.RedeliveryStream, r userapi.RedeliverRequest, b *budget) error {
	list := checkpointList{
		what: "list the failed deliveries", permission: readEventDeliveries, path: streamPath(result.ID, "/deliveries"), key: "deliveries",
		query: url.Values{"statuses": {statusFailed}},
	}
	if !r.From.IsZero() {
		list.query.Set("date_from", r.From.Format(whole))
	}
	if !r.To.IsZero() {
		list.query.Set("date_to", r.To.Format(whole))
	}
	seen := map[string]bool{}
	for {
		if b.spent(s.client.Now()) {
			return nil
		}
		b.pages--
		page, err := s.page(ctx, list)
		if limited, ok := errors.AsType[*userapi.RateLimitError](err); ok && list.from != "" {
			result.Notes = append(result.Notes, "counting ended early: "+limited.Error())
			return nil
		}
		if err != nil {
			return err
		}
		fresh := 0
		for _, entry := range page.entries {
			if isNew(seen, entry) {
				fresh++
				count(result, s.client, entry)
			}
		}
		if page.next == "" {
			// A bare array does not tell whether there is more.
			result.Complete = !page.bare || len(page.entries) < maxTake
			return nil
		}
		if fresh == 0 && len(page.entries) > 0 || page.next == list.from {
			result.Notes = append(result.Notes, "counting ended early: Auth0 listed deliveries again that it had listed before")
			return nil
		}
		list.from = page.next
	}
}

// isNew records the id of a list entry and reports whether it is new. An entry without an id counts
// as new.
func isNew(seen map[string]bool, entry json.RawMessage) bool {
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(entry, &e) != nil || e.ID == "" {
		return true
	}
	known := seen[e.ID]
	seen[e.ID] = true
	return !known
}

// delivery is the relevant part of a delivery. Only its type is relied upon.
type delivery struct {
	Status   string          `json:"status"`
	Type     string          `json:"event_type"`
	Attempts json.RawMessage `json:"attempts"`
	Event    json.RawMessage `json:"event"`
}

// at returns when the event happened, otherwise when its delivery was first attempted.
func (d *delivery) at() (time.Time, bool) {
	var event struct {
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(d.Event, &event) == nil && !event.Time.IsZero() {
		return event.Time.UTC(), true
	}
	var attempts []struct {
		Timestamp time.Time `json:"timestamp"`
	}
	if json.Unmarshal(d.Attempts, &attempts) == nil && len(attempts) > 0 && !attempts[0].Timestamp.IsZero() {
		return attempts[0].Timestamp.UTC(), true
	}
	return time.Time{}, false
}

func count(result *userapi.RedeliveryStream, c *userapi.Client, entry json.RawMessage) {
	var d delivery
	if json.Unmarshal(entry, &d) != nil {
		d = delivery{} // it counts anyway
	}
	if d.Status != "" && d.Status != statusFailed {
		return // in progress
	}
	result.Failed++
	kind := c.Say(d.Type)
	if _, known := result.Types[kind]; kind == "" || !known && len(result.Types) >= countTypes {
		kind = otherTypes
	}
	result.Types[kind]++
	at, ok := d.at()
	if !ok {
		return
	}
	if result.Oldest == nil || at.Before(*result.Oldest) {
		result.Oldest = &at
	}
	if result.Newest == nil || at.After(*result.Newest) {
		result.Newest = &at
	}
}
