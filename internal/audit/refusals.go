package audit

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Limits of what refused attempts can make the log grow by: maxRows a process and a minute.
const (
	maxRows  = 20
	interval = time.Minute

	pruneEvery = time.Hour
	pruneBatch = 10_000
)

// Refusal is an attempt that was refused before anything was done.
type Refusal struct {
	Origin Origin
	Action Action
	Status int
	Code   string
}

// alike is what attempts have in common that share a row.
type alike struct {
	key     uuid.UUID
	address netip.Addr
	via     string
	action  string
	code    string
}

type refusals struct {
	Refusal

	at    time.Time // of the first one
	count int64
}

// Refusals counts refused attempts and writes them, the first ones at once and what follows once a minute; in a flood
// the last row of a minute stands for the rest of it, whatever it was. It also deletes rows of the log past their
// retention. It is safe for concurrent use; Run must be running.
//
// If the process is killed, what was refused within the last minute is lost, and the log of the server alone has it.
type Refusals struct {
	log   *Log
	slog  *slog.Logger
	mu    sync.Mutex
	known map[alike]*refusals
	order []*refusals
	wake  chan struct{}
}

// NewRefusals makes Refusals that are written to a Log.
func NewRefusals(log *Log, logger *slog.Logger) *Refusals {
	return &Refusals{log: log, slog: logger, known: map[alike]*refusals{}, wake: make(chan struct{}, 1)}
}

// Add counts an attempt. It never waits.
func (r *Refusals) Add(one Refusal) {
	key := alike{address: one.Origin.Address, via: one.Origin.Via, action: one.Action.Name, code: one.Code}
	if one.Origin.Key != nil {
		key.key = one.Origin.Key.ID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	some := r.known[key]
	if some == nil && len(r.order) == maxRows {
		some = r.order[maxRows-1]
	}
	if some != nil {
		some.count++
		return
	}
	some = &refusals{Refusal: one, at: r.log.Now(), count: 1}
	r.known[key] = some
	r.order = append(r.order, some)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, and then once more.
func (r *Refusals) Run(ctx context.Context) {
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		select {
		case <-r.wake:
			r.Write(ctx)
			// Further attempts are counted in the meantime.
			pause := time.NewTimer(interval)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		case <-prune.C:
			r.prune(ctx)
		case <-ctx.Done():
			r.Write(ctx)
			return
		}
	}
}

// Write writes what was counted. What cannot be written is dropped, because it would only pile up.
func (r *Refusals) Write(ctx context.Context) {
	r.mu.Lock()
	rows := r.order
	r.order, r.known = nil, map[alike]*refusals{}
	r.mu.Unlock()
	slices.SortStableFunc(rows, func(a, b *refusals) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	for i, one := range rows {
		row := append(r.log.columns(one.at, one.Origin, one.Action), one.count, Refused, one.Status, orNull(one.Code), r.log.Now())
		if _, err := r.log.Database.Exec(ctx, insertAction, row...); err != nil {
			r.slog.WarnContext(ctx, "refused_attempts_not_recorded", slog.Int("rows", len(rows)-i), slog.Any("error", err))
			return
		}
	}
}

const pruneLog = `SELECT authsync.prune_audit_log($1, $2)`

func (r *Refusals) prune(ctx context.Context) {
	for {
		var n int64
		err := r.log.Database.QueryRow(ctx, pruneLog, r.log.Now(), pruneBatch).Scan(&n)
		if err != nil {
			if ctx.Err() == nil {
				r.slog.WarnContext(ctx, "audit_log_not_pruned", slog.Any("error", err))
			}
			return
		}
		if n < pruneBatch {
			return
		}
	}
}
