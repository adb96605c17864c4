package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

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

var (
	// errHalted means that the destination was paused, disabled or deleted.
	errHalted = errors.New("the destination is paused, disabled or deleted")
	// errChanged means that the destination's configuration has changed.
	errChanged = errors.New("the destination was changed")
)

// work sends until nothing is ready or the time slice is used up. An error is the reason why nothing more can
// be sent now.
func (r *run) work(ctx context.Context) error {
	r.probe = false
	may, open, err := r.admit(ctx)
	if err != nil || !may {
		return err
	}
	if open != nil {
		if err := r.admitProbe(ctx, *open); err != nil {
			return err
		}
	}
	p := newPipe(ctx, r)
	err = p.loop(ctx)
	p.close()
	if r.probe && ctx.Err() == nil { // the time slice was used up before the probe was sent
		if returned := r.returnProbe(ctx); err == nil {
			err = returned
		}
	}
	if errors.Is(err, errHalted) {
		return nil
	}
	return err
}

// pipe is the sending part of a run. Deliveries are loaded, sent and recorded concurrently.
//
//	fill ──▶ todo ──▶ senders (Capabilities.Parallel) ──▶ done ──▶ record
type pipe struct {
	*run

	window        int
	todo          chan []outgoing
	done          chan []sent
	sending       context.Context //nolint:containedctx // the senders' context, which ends with the pipe
	cancel        context.CancelFunc
	senders       sync.WaitGroup
	started       int
	inFlightBytes int // size of the messages in flight
	chunk         int // deliveries in the next load
	// deferred is set after a deferral; sentSinceDeferral counts the sends since, including suppressed ones.
	deferred          atomic.Bool
	sentSinceDeferral atomic.Int64
	checked           time.Time     // when the destination was last found as it was
	spent             time.Duration // time spent in statements since the last pause
	stopReason        error         // why nothing more is taken
}

func newPipe(ctx context.Context, r *run) *pipe {
	traits := r.to.capabilities
	window := min(max(minWindow, 2*traits.Batch*traits.Parallel), maxWindow)
	p := &pipe{run: r, window: window, todo: make(chan []outgoing, window), done: make(chan []sent, window+traits.Parallel)}
	p.chunk, p.checked = max(firstChunk, traits.Batch), time.Now()
	p.sending, p.cancel = context.WithDeadline(ctx, r.begun.Add(r.config.Cut))
	return p
}

// close waits for the senders.
func (p *pipe) close() {
	p.stop(errHalted)
	p.cancel()
	close(p.todo)
	p.senders.Wait()
}

// loop fills the pipe and records results until nothing is in flight and nothing more is ready.
func (p *pipe) loop(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	look := true // more may be ready
	for {
		if p.timeUp() {
			p.stop(nil)
			look = false
		}
		if p.stopReason == nil {
			if err := p.check(ctx); err != nil {
				p.stop(err)
			}
		}
		width := p.windowSize() // read once: it changes when other jobs begin
		if look && p.stopReason == nil && len(p.inFlight) <= width/2 && p.inFlightBytes <= p.config.MaxInFlightBytes/2 {
			begun := time.Now()
			var err error
			if look, err = p.fill(ctx, width-len(p.inFlight)); err != nil {
				p.stop(err)
			}
			p.spent += time.Since(begun)
		}
		if len(p.inFlight) == 0 && (!look || p.stopReason != nil) {
			return p.stopReason
		}
		if len(p.inFlight) == 0 {
			continue
		}
		select {
		case first := <-p.done:
			begun := time.Now()
			more, err := p.recordResults(ctx, first)
			if err != nil {
				return err
			}
			look = look || more
			if p.spent += time.Since(begun); look || len(p.inFlight) > 0 {
				p.yieldToOthers(ctx)
			}
		case <-ticker.C:
			look = !p.probe
		}
	}
}

// check stops the pipe if the destination was paused, deleted or changed.
func (p *pipe) check(ctx context.Context) error {
	if time.Since(p.checked) < checkEvery {
		return nil
	}
	p.checked = time.Now()
	t, err := p.target(ctx)
	switch {
	case errors.Is(err, errNoDestination) || err == nil && t.State != StateActive:
		return errHalted
	case err == nil && !t.UpdatedAt.Equal(p.to.updatedAt):
		return errChanged
	}
	return err
}

// release removes a delivery from those in flight.
func (p *pipe) release(id int64) {
	p.inFlightBytes -= p.inFlight[id]
	delete(p.inFlight, id)
}

// stop removes unsent deliveries from the pipe; they stay ready. The first reason is kept.
func (p *pipe) stop(why error) {
	if p.stopReason == nil {
		p.stopReason = why
	}
	for {
		select {
		case chunk := <-p.todo:
			for i := range chunk {
				p.release(chunk[i].ID)
			}
		default:
			return
		}
	}
}

// send runs one sender. After a deferral one more message is sent, which may show that only some are deferred;
// the others stay ready, because the destination has asked for a pause.
func (p *pipe) send() {
	for chunk := range p.todo {
		if p.deferred.Load() && p.sentSinceDeferral.Add(1) > 1 {
			p.done <- unsent(chunk)
			continue
		}
		tried := p.sendChunk(p.sending, p.to, chunk, p.probe)
		for i := range tried {
			if tried[i].result.Outcome == destination.Deferred {
				p.deferred.Store(true)
			}
		}
		p.done <- tried
	}
}

// unsent returns deliveries as not sent.
func unsent(chunk []outgoing) []sent {
	kept := make([]sent, len(chunk))
	for i := range chunk {
		kept[i].outgoing = chunk[i]
	}
	return kept
}

// recordResults records results and stops the pipe if they require it. more reports whether deliveries became,
// or stayed, ready.
func (p *pipe) recordResults(ctx context.Context, results []sent) (more bool, err error) {
	for len(results) < recordAtMost {
		select {
		case next := <-p.done:
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
			p.stop(results[i].err)
		}
	}
	if len(known) > 0 {
		r, err := p.record(ctx, known)
		if err != nil {
			return false, err
		}
		more = more || r.Promoted > 0 || p.probe
		p.stopOnRefusal(r, known)
		if p.probe { // no sender is running
			p.probe = false
		}
	}
	for i := range results {
		p.release(results[i].ID)
	}
	if ctx.Err() != nil {
		p.stop(context.Cause(ctx))
	}
	return more, nil
}

// stopOnRefusal stops the pipe if the destination takes no more now.
func (p *pipe) stopOnRefusal(r recorded, results []sent) {
	switch {
	case r.halted || r.IsDisabled:
		p.stop(errHalted)
	case r.BreakerOpenUntil != nil:
		p.stop(&waitError{after: r.BreakerOpenUntil.Sub(p.config.Now()), reason: "the destination has failed several times in a row: " +
			"it is tried again at " + r.BreakerOpenUntil.UTC().Format(time.RFC3339)})
	}
	for i := range results {
		if result := &results[i].result; result.Outcome == destination.Deferred && !results[i].aside {
			p.stop(deferralError(result))
		}
	}
	if p.stopReason == nil { // the deferred deliveries continue in jobs of their own
		p.sentSinceDeferral.Store(0)
		p.deferred.Store(false)
	}
}

func deferralError(result *destination.Result) *waitError {
	because := result.Reason
	if because == "" {
		because = "the destination asked for a pause"
	}
	return &waitError{after: max(result.After, 100*time.Millisecond), reason: because}
}

const beginDeliveries = `SELECT authsync.begin_deliveries($1, $2)`

// begin records that states may arrive from now on, even if the process dies.
func (o *Outbox) begin(ctx context.Context, to *cachedDestination, chunk []outgoing) error {
	if !to.capabilities.States {
		return nil
	}
	var ids []int64
	for i := range chunk {
		ids = append(append(ids, chunk[i].ID), chunk[i].Coalesced...)
	}
	if _, err := o.config.Pool.Exec(ctx, beginDeliveries, to.id, ids); err != nil {
		return fmt.Errorf("begin deliveries: %w", err)
	}
	return nil
}

// sendChunk sends deliveries and classifies the results. Those cut off by a shutdown have no outcome: they may
// have arrived, and are sent again.
func (o *Outbox) sendChunk(ctx context.Context, to *cachedDestination, chunk []outgoing, probe bool) []sent {
	messages := make([]destination.Message, len(chunk))
	tried := make([]sent, len(chunk))
	for i := range chunk {
		messages[i] = chunk[i].message
	}
	if err := o.begin(ctx, to, chunk); err != nil {
		for i := range chunk {
			tried[i] = sent{outgoing: chunk[i], err: err}
		}
		return tried
	}
	begun, sentAt, send := time.Now(), o.config.Now(), o.sends.Add(1)
	results := o.sendAll(ctx, to, messages)
	for i := range chunk {
		tried[i] = sent{outgoing: chunk[i], result: results[i], send: send, sentAt: sentAt, took: time.Since(begun)}
		if ctx.Err() != nil && results[i].Outcome == destination.Retry {
			continue
		}
		o.classify(&tried[i], probe)
	}
	return tried
}

// becauseCrashed is the reason for deliveries that made a destination panic, which is a bug in authsync and
// must not block the others.
const becauseCrashed = "sending this change crashed authsync: please report it; replay the delivery with a version that fixes it"

// sendAll calls Send and returns one result per message, even if Send panics.
func (o *Outbox) sendAll(ctx context.Context, to *cachedDestination, messages []destination.Message) (results []destination.Result) {
	defer func() {
		if crash := recover(); crash != nil {
			o.config.Log.ErrorContext(ctx, "destination_crashed", slog.String("type", to.typeName), slog.String("stack", string(debug.Stack())))
			results = make([]destination.Result, len(messages))
			for i := range results {
				results[i] = destination.Result{Outcome: destination.GiveUp, Reason: becauseCrashed}
			}
		}
	}()
	results = make([]destination.Result, len(messages))
	for i := copy(results, to.Send(ctx, messages)); i < len(results); i++ {
		results[i] = destination.Result{Outcome: destination.Retry, Reason: "the destination returned no result for this change"}
	}
	return results
}
