package sender

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
)

// Deliveries in flight are also limited by size: a row may take a megabyte. Those not loaded stay ready,
// since taking deliveries changes nothing.
const (
	maxInFlightBytes = 32 << 20
	firstChunk       = 32 // deliveries in the first load; later loads take a quarter of the in-flight limit
)

const takeDeliveries = `SELECT * FROM authsync.take_deliveries($1, $2, $3, $4, NULL, NULL)`

// take returns ready deliveries; for a destination with an open breaker, only the one to probe with.
func (w *window) take(ctx context.Context, limit int) ([]readyDelivery, error) {
	var ready []readyDelivery
	var err error
	if w.probe {
		ready, err = w.takeProbe(ctx)
	} else {
		except := make([]int64, 0, len(w.inFlight))
		for id := range w.inFlight {
			except = append(except, id)
		}
		ready, err = pgdb.Collect[readyDelivery](ctx, w.sender.config.Pool, takeDeliveries, w.run.destinationID, w.to.destination.Capabilities.States, limit, except)
	}
	if err != nil {
		return nil, fmt.Errorf("take deliveries: %w", err)
	}
	return ready, nil
}

func (w *window) takeProbe(ctx context.Context) ([]readyDelivery, error) {
	var id *int64
	if err := w.sender.config.Pool.QueryRow(ctx, `SELECT authsync.choose_probe($1)`, w.run.destinationID).Scan(&id); err != nil || id == nil {
		return nil, err
	}
	return pgdb.Collect[readyDelivery](ctx, w.sender.config.Pool, takeOne, w.run.destinationID, w.to.destination.Capabilities.States, *id, "ready")
}

// fill takes up to limit ready deliveries and dispatches them. more reports whether more may be ready.
func (w *window) fill(ctx context.Context, limit int) (more bool, err error) {
	ready, err := w.take(ctx, limit)
	if err != nil {
		return false, err
	}
	if len(ready) == 0 && w.probe {
		return false, w.returnProbe(ctx)
	}
	isFull := len(ready) == limit
	for len(ready) > 0 && w.inFlightBytes < w.sender.config.MaxInFlightBytes {
		n := min(w.chunk, len(ready))
		loaded, err := w.loadChunk(ctx, ready[:n])
		if err != nil {
			return false, err
		}
		w.dispatch(loaded)
		ready = ready[n:]
	}
	return (isFull || len(ready) > 0) && !w.probe, nil
}

// loadChunk loads the messages of deliveries and sets the size of the next chunk.
func (w *window) loadChunk(ctx context.Context, chunk []readyDelivery) ([]outgoing, error) {
	loaded, err := w.sender.load(ctx, w.to.destination, chunk)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for i := range loaded {
		bytes += messageSize(&loaded[i].message)
	}
	fit := w.sender.config.MaxInFlightBytes / 4 / max(bytes/len(chunk), 1)
	w.chunk = nextChunk(w.chunk, fit, w.to.destination.Capabilities.Batch)
	return loaded, nil
}

// messageSize returns about how many bytes of memory a message takes.
func messageSize(m *destination.Message) int { return len(m.Row) + len(m.Before) + len(m.Organization) }

// nextChunk returns the size of the next chunk: as many as fit, at most twice the last, in whole batches.
func nextChunk(chunk, fit, batch int) int {
	next := min(max(fit, 1), 2*chunk, maxWindow)
	if next > batch {
		next -= next % batch
	}
	return next
}

// dispatch queues loaded deliveries for the senders.
func (w *window) dispatch(loaded []outgoing) {
	good := make([]outgoing, 0, len(loaded))
	for i := range loaded {
		w.inFlight[loaded[i].ID] = messageSize(&loaded[i].message)
		w.inFlightBytes += w.inFlight[loaded[i].ID]
		if loaded[i].isGone {
			w.done <- []sent{w.sender.unsentResult(loaded[i])}
			continue
		}
		good = append(good, loaded[i])
	}
	for len(good) > 0 {
		n := min(w.to.destination.Capabilities.Batch, len(good))
		w.todo <- good[:n:n]
		good = good[n:]
		if w.started < w.to.destination.Capabilities.Parallel {
			w.started++
			w.senders.Go(w.send)
		}
	}
}

// returnProbe lets another job probe, because there was nothing to send.
func (w *window) returnProbe(ctx context.Context) error {
	w.probe = false
	return w.sender.returnProbe(ctx, w.run.destinationID)
}
