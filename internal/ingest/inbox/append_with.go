package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// AppendWith stores messages and what with does, in one transaction: all of it or none. It returns
// the error of with, or that the database could not store them; then nothing was stored, unless the
// connection broke during the commit.
//
// It is for those who know what comes next only by what was stored, such as a puller and its cursor.
// with must be quick, and must not wait for another system.
func (in *Inbox) AppendWith(ctx context.Context, messages []Message, with func(tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, in.config.CommitTimeout, errors.New("the control database did not answer in time"))
	defer cancel()
	for i := range messages {
		m := &messages[i]
		if m.ReceivedAt.IsZero() {
			m.ReceivedAt = in.config.Now()
		}
		m.ReceivedAt, m.MessageID = m.ReceivedAt.UTC().Truncate(time.Microsecond), text(m.MessageID)
	}
	made := false
	store := func() error {
		return pgdb.InTx(ctx, in.pool, func(tx pgx.Tx) (err error) {
			if len(messages) > 0 {
				if _, made, err = insertMessages(ctx, tx, messages); err != nil {
					return err
				}
			}
			return with(tx)
		})
	}
	err := store()
	if pgdb.Retryable(err) || dayWasMade(err) {
		err = store()
	}
	if err != nil {
		return fmt.Errorf("append to inbox: %w", err)
	}
	if made {
		in.wakeWorkers(ctx)
	}
	return nil
}
