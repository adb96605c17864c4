package sender

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
)

const (
	// minWindow is the minimum of a run's in-flight limit: enough to keep its senders busy during a read.
	minWindow = 256
	maxWindow = 1000
	// recordAtMost is the maximum number of results per call.
	recordAtMost = 500
	// lookEvery is how often a run waiting for answers looks for new deliveries.
	lookEvery = 50 * time.Millisecond
	// checkEvery is how often a run checks whether the destination has changed.
	checkEvery = time.Second
)

// window holds the deliveries of a run that are in flight: loaded, sent and recorded concurrently.
//
//	fill ──▶ todo ──▶ senders (Capabilities.Parallel) ──▶ done ──▶ record
type window struct {
	sender *Sender
	run    run
	to     admitted
	probe  bool // the breaker is open: one delivery is sent

	size          int // the limit of deliveries in flight; see limit
	todo          chan []outgoing
	done          chan []sent
	sending       context.Context //nolint:containedctx // the senders' context, which ends with the window
	cancel        context.CancelFunc
	senders       sync.WaitGroup
	started       int
	inFlight      map[int64]int // deliveries that are taken but not recorded, and their size in bytes
	inFlightBytes int
	chunk         int // deliveries in the next load
	// deferred is set after a deferral; sentSinceDeferral counts the sends since, including suppressed ones.
	deferred          atomic.Bool
	sentSinceDeferral atomic.Int64
	checked           time.Time     // when the destination was last found as it was
	spent             time.Duration // time spent in statements since the last pause
	stopReason        error         // why nothing more is taken
}

func newWindow(ctx context.Context, s *Sender, r run, to admitted, probe bool) *window {
	c := to.destination.Capabilities
	size := min(max(minWindow, 2*c.Batch*c.Parallel), maxWindow)
	w := &window{
		sender: s, run: r, to: to, probe: probe, size: size, todo: make(chan []outgoing, size), done: make(chan []sent, size+c.Parallel),
		inFlight: make(map[int64]int), chunk: max(firstChunk, c.Batch), checked: time.Now(),
	}
	w.sending, w.cancel = context.WithDeadline(ctx, r.begun.Add(s.config.Cut))
	return w
}

// close waits for the senders.
func (w *window) close() {
	w.stop(errHalted)
	w.cancel()
	close(w.todo)
	w.senders.Wait()
}

// loop fills the window and records results until nothing is in flight and nothing more is ready.
func (w *window) loop(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	look := true // more may be ready
	for {
		if w.sender.timeUp(w.run) {
			w.stop(nil)
			look = false
		}
		if w.stopReason == nil {
			if err := w.check(ctx); err != nil {
				w.stop(err)
			}
		}
		limit := w.limit() // read once: it changes when other jobs begin
		if look && w.stopReason == nil && len(w.inFlight) <= limit/2 && w.inFlightBytes <= w.sender.config.MaxInFlightBytes/2 {
			begun := time.Now()
			var err error
			if look, err = w.fill(ctx, limit-len(w.inFlight)); err != nil {
				w.stop(err)
			}
			w.spent += time.Since(begun)
		}
		if len(w.inFlight) == 0 && (!look || w.stopReason != nil) {
			return w.stopReason
		}
		if len(w.inFlight) == 0 {
			continue
		}
		select {
		case first := <-w.done:
			begun := time.Now()
			more, err := w.recordResults(ctx, first)
			if err != nil {
				return err
			}
			look = look || more
			if w.spent += time.Since(begun); look || len(w.inFlight) > 0 {
				w.yieldToOthers(ctx)
			}
		case <-ticker.C:
			look = !w.probe
		}
	}
}

// check stops the window if the destination was paused, deleted or changed.
func (w *window) check(ctx context.Context) error {
	if time.Since(w.checked) < checkEvery {
		return nil
	}
	w.checked = time.Now()
	t, err := w.sender.target(ctx, w.run.destinationID)
	switch {
	case errors.Is(err, delivery.ErrNoDestination) || err == nil && t.State != delivery.StateActive:
		return errHalted
	case err == nil && !t.UpdatedAt.Equal(w.to.destination.UpdatedAt):
		return errChanged
	}
	return err
}

// release removes a delivery from those in flight.
func (w *window) release(id int64) {
	w.inFlightBytes -= w.inFlight[id]
	delete(w.inFlight, id)
}

// stop removes unsent deliveries from the window; they stay ready. The first reason is kept.
func (w *window) stop(why error) {
	if w.stopReason == nil {
		w.stopReason = why
	}
	for {
		select {
		case chunk := <-w.todo:
			for i := range chunk {
				w.release(chunk[i].ID)
			}
		default:
			return
		}
	}
}

// send runs one sender. After a deferral one more message is sent, which may show that only some are deferred;
// the others stay ready, because the destination has asked for a pause.
func (w *window) send() {
	for chunk := range w.todo {
		if w.deferred.Load() && w.sentSinceDeferral.Add(1) > 1 {
			w.done <- unsent(chunk)
			continue
		}
		tried := w.sender.sendChunk(w.sending, w.to.destination, chunk, w.probe)
		for i := range tried {
			if tried[i].result.Outcome == destination.Deferred {
				w.deferred.Store(true)
			}
		}
		w.done <- tried
	}
}

// recordResults records results and stops the window if they require it. more reports whether deliveries became,
// or stayed, ready.
func (w *window) recordResults(ctx context.Context, results []sent) (more bool, err error) {
	for len(results) < recordAtMost {
		select {
		case next := <-w.done:
			results = append(results, next...)
			continue
		default:
		}
		break
	}
	var known []sent
	for i := range results {
		if results[i].outcome != "" {
			known = append(known, results[i])
		} else {
			more = true
		}
		if results[i].err != nil {
			w.stop(results[i].err)
		}
	}
	if len(known) > 0 {
		r, err := w.sender.record(ctx, &w.to, known)
		if err != nil {
			return false, err
		}
		more = more || r.Promoted > 0 || w.probe
		w.stopOnRefusal(r, known)
		if w.probe { // no sender is running
			w.probe = false
		}
	}
	for i := range results {
		w.release(results[i].ID)
	}
	if ctx.Err() != nil {
		w.stop(context.Cause(ctx))
	}
	return more, nil
}

// stopOnRefusal stops the window if the destination takes no more now.
func (w *window) stopOnRefusal(r recorded, results []sent) {
	switch {
	case r.halted || r.IsDisabled:
		w.stop(errHalted)
	case r.BreakerOpenUntil != nil:
		w.stop(&delivery.WaitError{After: r.BreakerOpenUntil.Sub(w.sender.config.Now()), Reason: "the destination has failed several times in a row: " +
			"it is tried again at " + r.BreakerOpenUntil.UTC().Format(time.RFC3339)})
	}
	for i := range results {
		if result := &results[i].result; result.Outcome == destination.Deferred && !results[i].aside {
			w.stop(deferralError(result))
		}
	}
	if w.stopReason == nil { // the deferred deliveries continue in jobs of their own
		w.sentSinceDeferral.Store(0)
		w.deferred.Store(false)
	}
}
