package mirror

import (
	"context"
	"time"

	"github.com/jackc/pgerrcode"

	"github.com/authsync/authsync/internal/pgdb"
)

// A trigger of the customer's may take long with one record, or for ever. All others of the project wait meanwhile, because a
// mirror has one writer at a time. So calls that may meet such a record are short: those of events that are tried
// again, and for a while all calls of a project of which one took too long. The others have the time of
// tenantdb.Config.CallTimeout: they cost no round trips to set another one.
const (
	slowCall  = 5 * time.Second       // a short call may take this long,
	slowEvent = 20 * time.Millisecond // and this much more an event
	slowFor   = 15 * time.Minute      // how long the calls of a project stay short
	// slowParts is in how many parts a call is taken apart that took too long: two steps find the event among all that a call may have.
	slowParts = 64
)

// tookTooLong reports whether statement_timeout ended a call, or somebody who looks after the database.
func tookTooLong(err error) bool { return pgdb.Code(err) == pgerrcode.QueryCanceled }

// slow notes that a call took too long. The first one of a flush may have used up the time for taking it apart.
func (t *tenant) slow(f *flushing) {
	now := t.config.Now()
	t.slowUntil.Store(now.Add(slowFor).UnixNano())
	if !f.slow {
		f.slow, f.until = true, now.Add(t.config.FlushBudget)
	}
}

// limit returns how long a call may take, if that is less than usual.
func (t *tenant) limit(events []*Event, f *flushing) (time.Duration, bool) {
	if !f.slow && !events[0].Alone && t.config.Now().UnixNano() >= t.slowUntil.Load() {
		return 0, false
	}
	limit, usual := slowCall+time.Duration(len(events))*slowEvent, t.db.CallTimeout()
	return limit, limit < usual
}

// applyAll applies the events of a flush: those to be tried alone by a call each, after the others. Once one of them took too
// long the rest is deferred, or the others, whose outcomes nobody knows before the end, would wait for each.
func (t *tenant) applyAll(ctx context.Context, events []*Event, results []Result, f *flushing) error {
	var together, alone []int
	for i, e := range events {
		if e.Alone {
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	if len(alone) == 0 {
		return t.apply(ctx, events, results, f)
	}
	if len(together) > 0 {
		some, found := make([]*Event, len(together)), make([]Result, len(together))
		for i, place := range together {
			some[i] = events[place]
		}
		if err := t.apply(ctx, some, found, f); err != nil {
			return err
		}
		for i, place := range together {
			results[place] = found[i]
		}
	}
	stop := false
	for _, i := range alone {
		if stop {
			deferAll(results[i : i+1])
			continue
		}
		if err := t.apply(ctx, events[i:i+1], results[i:i+1], f); err != nil {
			return err
		}
		stop = tookTooLong(results[i].Err) || t.config.Now().After(f.until)
	}
	return nil
}
