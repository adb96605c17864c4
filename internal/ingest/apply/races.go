package apply

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/record"
)

// raceWindow is the distance within which the timestamps of two changes do not prove their order.
const raceWindow = time.Second

// settleRaces requests a refresh of users that changed several times within a second, when their
// provider's clocks may not tell which change came last and users can be read. Results are those of
// b.toApply.
func (c *Config) settleRaces(ctx context.Context, projectID uuid.UUID, b *batch, results []mirror.Result) error {
	var events []mirror.Event
	var places []int
	for i, r := range results {
		if e := b.toApply[i]; (r.Outcome == inbox.Applied || r.Outcome == inbox.Stale) && mayRace(&e) {
			events = append(events, e)
			places = append(places, b.places[i])
		}
	}
	if len(events) == 0 {
		return nil
	}
	raced, err := c.Mirrors.CloseChanges(ctx, projectID, events, raceWindow)
	if err != nil {
		return err
	}
	for _, i := range raced {
		name := events[i].Provider
		if err := c.canRefresh(ctx, projectID, name, b); err != nil {
			return err
		}
		if b.unreadable[name] != "" {
			continue
		}
		o := &b.outcomes[places[i]]
		o.Reason = joinReasons(o.Reason, "the user changed several times within a second: "+provider.Title(name)+" is asked which change came last")
		b.toRead = append(b.toRead, wanted{places[i], name, events[i].UserID})
	}
	return nil
}

func mayRace(e *mirror.Event) bool {
	if e.Record().Type != record.User {
		return false
	}
	kind, err := registry.Lookup(e.Provider)
	racer, races := kind.(provider.Racer)
	return err == nil && races && racer.MayRace(&e.Event)
}
