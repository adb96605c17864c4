// Package usage counts what projects receive and store in the inbox, and enforces their quotas. It counts
// outside the receiver's transactions, which would otherwise all wait for a project's row: each
// process adds up in memory, writes its sums every few seconds, and reads those of all processes. A
// quota is therefore exact to within a few seconds.
//
// If the process dies, what it had not written yet is missing in the sums.
package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	interval     = 5 * time.Second
	writeTimeout = 5 * time.Second
	// overhead is the size of a message beyond its body and headers, including its outcome and the
	// indexes of both, in bytes.
	overhead = 500
)

// Counter counts stored messages. It is safe for concurrent use; Run must be running.
type Counter struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	quota int64
	now   func() time.Time

	mu    sync.Mutex
	added map[place]*sum
	total map[uuid.UUID]int64 // of all processes, when last read
}

type place struct {
	project uuid.UUID
	began   int64 // of the Interval, in seconds since 1970
}

type sum struct{ messages, bytes int64 }

// New creates a Counter on the control database. The quota is in bytes per project; 0 means none.
func New(pool *pgxpool.Pool, log *slog.Logger, quota int64) *Counter {
	return &Counter{
		pool: pool, log: log, quota: quota, now: time.Now,
		added: make(map[place]*sum), total: make(map[uuid.UUID]int64),
	}
}

// Add counts a stored message.
func (c *Counter) Add(project uuid.UUID, receivedAt time.Time, bytes int) {
	at := place{project, began(receivedAt).Unix()}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.added[at]
	if s == nil {
		s = &sum{}
		c.added[at] = s
	}
	s.messages++
	s.bytes += int64(bytes) + overhead
	c.total[project] += int64(bytes) + overhead
}

// Exceeded reports whether a project has reached its quota, with the bytes stored and the quota.
func (c *Counter) Exceeded(project uuid.UUID) (stored, quota int64, exceeded bool) {
	if c.quota == 0 {
		return 0, 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stored = c.total[project]
	return stored, c.quota, stored >= c.quota
}

// Load reads what has already been stored, so that quotas apply from the start.
func (c *Counter) Load(ctx context.Context) error { return c.read(ctx) }

// Run writes and reads until ctx ends, and then writes once more.
func (c *Counter) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.exchange(context.WithoutCancel(ctx))
		case <-ctx.Done():
			c.exchange(context.WithoutCancel(ctx))
			return
		}
	}
}

// exchange writes this process's sums and reads those of all processes.
func (c *Counter) exchange(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := c.write(ctx)
	if err == nil && c.quota > 0 {
		err = c.read(ctx)
	}
	if err != nil {
		c.log.WarnContext(ctx, "inbox_usage_not_counted", slog.Any("error", err))
	}
}

const addUsage = `SELECT authsync.add_inbox_usage($1::jsonb)`

func (c *Counter) write(ctx context.Context) error {
	type row struct {
		ProjectID uuid.UUID `json:"project_id"`
		BeganAt   time.Time `json:"began_at"`
		Messages  int64     `json:"message_count"`
		Bytes     int64     `json:"byte_count"`
	}
	c.mu.Lock()
	added := c.added
	c.added = make(map[place]*sum)
	c.mu.Unlock()
	if len(added) == 0 {
		return nil
	}
	rows := make([]row, 0, len(added))
	for at, s := range added {
		rows = append(rows, row{at.project, time.Unix(at.began, 0).UTC(), s.messages, s.bytes})
	}
	text, err := json.Marshal(rows)
	if err == nil {
		_, err = c.pool.Exec(ctx, addUsage, text)
	}
	if err == nil {
		return nil
	}
	// Retry later: the database may be down.
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, s := range added {
		if now := c.added[at]; now != nil {
			now.messages += s.messages
			now.bytes += s.bytes
		} else {
			c.added[at] = s
		}
	}
	return fmt.Errorf("write the usage of the inbox: %w", err)
}

const selectUsage = `SELECT project_id, sum(byte_count)::bigint AS bytes FROM authsync.inbox_usage GROUP BY project_id`

func (c *Counter) read(ctx context.Context) error {
	rows, err := c.pool.Query(ctx, selectUsage)
	if err != nil {
		return fmt.Errorf("read the usage of the inbox: %w", err)
	}
	type total struct {
		ProjectID uuid.UUID
		Bytes     int64
	}
	totals, err := pgx.CollectRows(rows, pgx.RowToStructByName[total])
	if err != nil {
		return fmt.Errorf("read the usage of the inbox: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total = make(map[uuid.UUID]int64, len(totals))
	for _, t := range totals {
		c.total[t.ProjectID] = t.Bytes
	}
	for at, s := range c.added { // not yet written
		c.total[at.project] += s.bytes
	}
	return nil
}
