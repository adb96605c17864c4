package sender

import (
	"context"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/destination"
)

// unsent returns deliveries as not sent.
func unsent(chunk []outgoing) []sent {
	kept := make([]sent, len(chunk))
	for i := range chunk {
		kept[i].outgoing = chunk[i]
	}
	return kept
}

const beginDeliveries = `SELECT authsync.begin_deliveries($1, $2, $3, $4)`

// begin records that states may arrive from now on, even if the process dies: the attempt is shown then, too.
func (s *Sender) begin(ctx context.Context, to *destcache.Destination, chunk []outgoing) error {
	if !to.Capabilities.States {
		return nil
	}
	ids, coalesced := make([]int64, len(chunk)), []int64{}
	for i := range chunk {
		ids[i], coalesced = chunk[i].ID, append(coalesced, chunk[i].Coalesced...)
	}
	if _, err := s.config.Pool.Exec(ctx, beginDeliveries, to.ID, ids, coalesced, s.config.Now()); err != nil {
		return fmt.Errorf("begin deliveries: %w", err)
	}
	return nil
}

// sendChunk sends deliveries and classifies the results. Those cut off by a shutdown have no outcome: they may
// have arrived, and are sent again.
func (s *Sender) sendChunk(ctx context.Context, to *destcache.Destination, chunk []outgoing, probe bool) []sent {
	messages := make([]destination.Message, len(chunk))
	tried := make([]sent, len(chunk))
	for i := range chunk {
		messages[i] = chunk[i].message
	}
	if err := s.begin(ctx, to, chunk); err != nil {
		for i := range chunk {
			tried[i] = sent{outgoing: chunk[i], err: err}
		}
		return tried
	}
	begun, sentAt, send := time.Now(), s.config.Now(), s.sends.Add(1)
	sending, end := s.traceSend(ctx, to, chunk)
	results := to.Send(sending, messages)
	end(results)
	for i := range chunk {
		tried[i] = sent{outgoing: chunk[i], result: results[i], send: send, sentAt: sentAt, took: time.Since(begun)}
		if ctx.Err() != nil && results[i].Outcome == destination.Retry {
			continue
		}
		s.classify(&tried[i], probe)
	}
	return tried
}
