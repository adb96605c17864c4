// Package rejections records requests that the receiver rejected, so that a wrong signing secret
// shows up where people look: in SQL, the API, the command and doctor.
//
// Anyone can cause rejections without a secret, so they must cost next to nothing, however many
// there are. Add only counts: requests with the same reason and address within a second become one
// row, an integration gets a few rows a second at most, and one statement a second writes all of
// them. Nobody waits for it, and what cannot be written is dropped.
//
//	receiver ─▶ Add ─▶ counts of this second ─▶ one statement ─▶ authsync.rejected_requests
//	                   (bounded)                                 (the newest 100 each)
//
// If the process dies, the counts of the last second are lost.
package rejections

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// keep is the number of rows kept for each provider of a project, keepFor their retention.
	keep    = 100
	keepFor = 7 * 24 * time.Hour
	// maxRows is the maximum number of rows per integration in one write.
	maxRows = 5
	// maxIntegrations is the maximum number of integrations in one write.
	maxIntegrations = 1000
	// interval is the time between two writes, writeTimeout the time limit of one.
	interval     = time.Second
	writeTimeout = 5 * time.Second
	pruneEvery   = time.Hour
	// Limits of a row's texts.
	maxDetail      = 600
	maxHeaderNames = 40
	maxHeaderName  = 60
)

// Request is a rejected request.
type Request struct {
	ProjectID uuid.UUID
	Provider  string
	// ReceivedAt is when it was rejected.
	ReceivedAt  time.Time
	Status      int
	Reason      string
	Detail      string
	BodyBytes   int64 // -1 if unknown
	HeaderNames []string
	Address     netip.Addr // invalid if unknown
}

// row is a row of rejected_requests to be written.
type row struct {
	ProjectID   uuid.UUID `json:"project_id"`
	Provider    string    `json:"provider"`
	ReceivedAt  time.Time `json:"received_at"`
	Status      int       `json:"status"`
	Reason      string    `json:"reason"`
	Detail      string    `json:"detail"`
	BodyBytes   *int64    `json:"body_bytes"`
	HeaderNames []string  `json:"header_names"`
	Address     *string   `json:"remote_address"`
	Count       int64     `json:"request_count"`
}

type integration struct {
	project  uuid.UUID
	provider string
}

// Recorder collects rejected requests. It is safe for concurrent use; Run must be running.
type Recorder struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu      sync.Mutex
	pending map[integration][]*row
	wake    chan struct{}
}

// New creates a Recorder on the control database.
func New(pool *pgxpool.Pool, log *slog.Logger) *Recorder {
	return &Recorder{pool: pool, log: log, pending: make(map[integration][]*row), wake: make(chan struct{}, 1)}
}

// Wants reports whether another request of an integration would get its own row now, so that
// examining it further is worthwhile.
func (r *Recorder) Wants(project uuid.UUID, provider string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending[integration{project, provider}]) < maxRows
}

// Add records a request. It never waits.
func (r *Recorder) Add(q Request) {
	key := integration{q.ProjectID, q.Provider}
	r.mu.Lock()
	defer r.mu.Unlock()
	rows, known := r.pending[key]
	if !known && len(r.pending) == maxIntegrations {
		return
	}
	address := ""
	if q.Address.IsValid() {
		address = q.Address.String()
	}
	for i, one := range rows {
		// In a flood the last row also counts the remaining requests.
		if one.Reason == q.Reason && *one.Address == address || i == maxRows-1 {
			one.Count++
			one.ReceivedAt = q.ReceivedAt
			return
		}
	}
	if len(rows) == 0 {
		r.signal()
	}
	one := &row{
		ProjectID: q.ProjectID, Provider: q.Provider, ReceivedAt: q.ReceivedAt, Status: q.Status, Reason: q.Reason,
		Detail: cut(q.Detail, maxDetail), HeaderNames: names(q.HeaderNames), Address: &address, Count: 1,
	}
	if q.BodyBytes >= 0 {
		one.BodyBytes = &q.BodyBytes
	}
	r.pending[key] = append(rows, one)
}

// names sorts and truncates the header names, which a sender may choose.
func names(all []string) []string {
	all = slices.Sorted(slices.Values(all))
	if len(all) > maxHeaderNames {
		all = append(all[:maxHeaderNames:maxHeaderNames], "…")
	}
	for i, name := range all {
		all[i] = cut(name, maxHeaderName)
	}
	return all
}

// cut truncates a text and makes it valid for a text column.
func cut(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, and then once more.
func (r *Recorder) Run(ctx context.Context) {
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		select {
		case <-r.wake:
			r.write(context.WithoutCancel(ctx))
			// Further requests accumulate in the meantime.
			pause := time.NewTimer(interval)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		case <-prune.C:
			r.prune(ctx)
		case <-ctx.Done():
			r.write(context.WithoutCancel(ctx))
			return
		}
	}
}

const recordRequests = `SELECT authsync.record_rejected_requests($1::jsonb, $2)`

// write writes the pending rows. Rows that cannot be written are dropped, because they would only
// pile up.
func (r *Recorder) write(ctx context.Context) {
	r.mu.Lock()
	pending := r.pending
	r.pending = make(map[integration][]*row)
	r.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	var rows []*row
	for _, some := range pending {
		rows = append(rows, some...)
	}
	slices.SortFunc(rows, func(a, b *row) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
	for _, one := range rows {
		if *one.Address == "" {
			one.Address = nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	text, err := json.Marshal(rows)
	if err == nil {
		_, err = r.pool.Exec(ctx, recordRequests, text, keep)
	}
	if err != nil {
		r.log.WarnContext(ctx, "rejected_requests_not_recorded", slog.Int("rows", len(rows)), slog.Any("error", err))
	}
}

const pruneRequests = `DELETE FROM authsync.rejected_requests WHERE received_at < $1`

func (r *Recorder) prune(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if _, err := r.pool.Exec(ctx, pruneRequests, time.Now().Add(-keepFor)); err != nil {
		r.log.WarnContext(ctx, "rejected_requests_not_pruned", slog.Any("error", err))
	}
}

// Rejected is a row of authsync.rejected_requests.
type Rejected struct {
	ID            int64
	Provider      string
	ReceivedAt    time.Time
	Status        int
	Reason        string
	Detail        string
	BodyBytes     *int64
	HeaderNames   []string
	RemoteAddress *netip.Addr
	RequestCount  int64
}

const selectRejected = `
SELECT id, provider, received_at, status, reason, detail, body_bytes, header_names, remote_address, request_count
FROM authsync.rejected_requests
WHERE project_id = $1 AND ($2 = '' OR provider = $2) AND ($3 = 0 OR id < $3)
ORDER BY id DESC
LIMIT $4`

// Reader reads what Recorders wrote.
type Reader struct{ Pool *pgxpool.Pool }

// List returns the newest limit rejected requests of a project: only those of provider if it is not
// empty, and older than the row with the id before if that is not 0.
func (r Reader) List(ctx context.Context, projectID uuid.UUID, provider string, before int64, limit int) ([]Rejected, error) {
	rows, err := r.Pool.Query(ctx, selectRejected, projectID, provider, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read rejected requests: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Rejected])
	if err != nil {
		return nil, fmt.Errorf("read rejected requests: %w", err)
	}
	for i := range list {
		list[i].ReceivedAt = list[i].ReceivedAt.UTC()
	}
	return list, nil
}
