package delivery

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/destination"
)

// Deliveries in flight are also limited by size: a user may take a megabyte. Those not loaded stay ready,
// since taking deliveries changes nothing.
const (
	maxInFlightBytes = 32 << 20
	firstChunk       = 32 // deliveries in the first load; later loads take a quarter of the in-flight limit
)

const takeDeliveries = `SELECT * FROM authsync.take_deliveries($1, $2, $3, $4, NULL, NULL)`

// take returns ready deliveries; for a destination with an open breaker, only the one to probe with.
func (p *pipe) take(ctx context.Context, room int) ([]readyDelivery, error) {
	var ready []readyDelivery
	var err error
	if p.probe {
		ready, err = p.takeProbe(ctx)
	} else {
		except := make([]int64, 0, len(p.inFlight))
		for id := range p.inFlight {
			except = append(except, id)
		}
		ready, err = query[readyDelivery](ctx, p.config.Pool, takeDeliveries, p.id, p.to.capabilities.States, room, except)
	}
	if err != nil {
		return nil, fmt.Errorf("take deliveries: %w", err)
	}
	return ready, nil
}

func (p *pipe) takeProbe(ctx context.Context) ([]readyDelivery, error) {
	var id *int64
	if err := p.config.Pool.QueryRow(ctx, `SELECT authsync.choose_probe($1)`, p.id).Scan(&id); err != nil || id == nil {
		return nil, err
	}
	return query[readyDelivery](ctx, p.config.Pool, takeOne, p.id, p.to.capabilities.States, *id, "ready")
}

// fill takes up to room ready deliveries and dispatches them. more reports whether more may be ready.
func (p *pipe) fill(ctx context.Context, room int) (more bool, err error) {
	ready, err := p.take(ctx, room)
	if err != nil {
		return false, err
	}
	if len(ready) == 0 && p.probe {
		return false, p.returnProbe(ctx)
	}
	isFull := len(ready) == room
	for len(ready) > 0 && p.inFlightBytes < p.config.MaxInFlightBytes {
		n := min(p.chunk, len(ready))
		loaded, err := p.loadChunk(ctx, ready[:n])
		if err != nil {
			return false, err
		}
		p.dispatch(loaded)
		ready = ready[n:]
	}
	return (isFull || len(ready) > 0) && !p.probe, nil
}

// loadChunk loads the messages of deliveries and sets the size of the next chunk.
func (p *pipe) loadChunk(ctx context.Context, chunk []readyDelivery) ([]outgoing, error) {
	loaded, err := p.load(ctx, p.id, p.to.capabilities.States, chunk)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for i := range loaded {
		bytes += messageSize(&loaded[i].message)
	}
	fit := p.config.MaxInFlightBytes / 4 / max(bytes/len(chunk), 1)
	p.chunk = nextChunk(p.chunk, fit, p.to.capabilities.Batch)
	return loaded, nil
}

// messageSize returns about how many bytes of memory a message takes.
func messageSize(m *destination.Message) int { return len(m.User) + len(m.Before) }

// nextChunk returns the size of the next chunk: as many as fit, at most twice the last, in whole batches.
func nextChunk(chunk, fit, batch int) int {
	next := min(max(fit, 1), 2*chunk, maxWindow)
	if next > batch {
		next -= next % batch
	}
	return next
}

// dispatch queues loaded deliveries for the senders.
func (p *pipe) dispatch(loaded []outgoing) {
	good := make([]outgoing, 0, len(loaded))
	for i := range loaded {
		p.inFlight[loaded[i].ID] = messageSize(&loaded[i].message)
		p.inFlightBytes += p.inFlight[loaded[i].ID]
		if loaded[i].isGone {
			p.done <- []sent{p.unsentResult(loaded[i])}
			continue
		}
		good = append(good, loaded[i])
	}
	for len(good) > 0 {
		n := min(p.to.capabilities.Batch, len(good))
		p.todo <- good[:n:n]
		good = good[n:]
		if p.started < p.to.capabilities.Parallel {
			p.started++
			p.senders.Go(p.send)
		}
	}
}
