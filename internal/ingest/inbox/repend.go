package inbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// replayed is an event or a message to replay.
type replayed struct {
	InboxID    int64
	Ordinal    int
	ProjectID  uuid.UUID
	ReceivedAt time.Time
	Bytes      int64 // of the whole message
}

// replayMessages makes whole messages pending again, in parts of bounded size. A project's parts
// are consecutive and projects are sorted, so that two calls cannot deadlock.
func (in *Inbox) replayMessages(ctx context.Context, tx pgx.Tx, events []replayed) (int, error) {
	var parts []*part
	open := make(map[uuid.UUID]*part) // the last part of each project
	for i, e := range events {
		if i > 0 && e.InboxID == events[i-1].InboxID {
			continue
		}
		p := open[e.ProjectID]
		if p == nil || len(p.ids) == jobMaxMessages || p.bytes+e.Bytes > jobMaxBytes {
			p = &part{projectID: e.ProjectID, first: e.ReceivedAt, last: e.ReceivedAt}
			parts = append(parts, p)
			open[e.ProjectID] = p
		}
		p.add(e)
	}
	slices.SortStableFunc(parts, func(a, b *part) int { return bytes.Compare(a.projectID[:], b.projectID[:]) })
	for _, p := range parts {
		if err := p.append(ctx, tx); err != nil {
			return 0, err
		}
	}
	return len(parts), nil
}

func (in *Inbox) replayEvents(ctx context.Context, tx pgx.Tx, events []replayed) (int, error) {
	params := make([]river.InsertManyParams, len(events))
	for i, e := range events {
		params[i].Args = RetryEventArgs{ProjectID: e.ProjectID, InboxID: e.InboxID, ReceivedAt: e.ReceivedAt, Ordinal: e.Ordinal}
	}
	inserted, err := in.insert(ctx, tx, params)
	if err != nil {
		return 0, err
	}
	for _, result := range inserted {
		waits := result.Job.State == rivertype.JobStateRetryable || result.Job.State == rivertype.JobStateScheduled
		if !result.UniqueSkippedAsDuplicate || !waits {
			continue
		}
		if _, err := in.jobs.JobRetryTx(ctx, tx, result.Job.ID); err != nil {
			return 0, fmt.Errorf("bring job %d forward: %w", result.Job.ID, err)
		}
	}
	return len(inserted), nil
}

func (in *Inbox) insert(ctx context.Context, tx pgx.Tx, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	if len(params) == 0 {
		return nil, nil
	}
	inserted, err := in.jobs.InsertManyTx(ctx, tx, params)
	if err != nil {
		return nil, fmt.Errorf("insert jobs: %w", err)
	}
	return inserted, nil
}
