package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/watch"
)

// lastingLoss is how long doctor fails on a loss that cannot be restored, and mentions one that was
// repaired.
const lastingLoss = 7 * 24 * time.Hour

// repairs checks that the mirror has what was applied to it, and reports the progress of a repair.
func repairs(ctx context.Context, p *Project) ([]Fault, error) {
	behind, err := lostProgress(ctx, p)
	if err != nil || len(behind) > 0 {
		return behind, err
	}
	found, err := repair.Of(ctx, p.Pool, p.ID, maxNamed)
	if err != nil {
		return nil, err
	}
	var faults []Fault
	for i := range found {
		f, err := repairFault(ctx, p, &found[i])
		if err != nil {
			return nil, err
		}
		faults = append(faults, f...)
	}
	return faults, nil
}

// lostProgress compares the mirror's progress with its recorded progress.
func lostProgress(ctx context.Context, p *Project) ([]Fault, error) {
	var known mirror.Progress
	err := p.Pool.QueryRow(ctx, `SELECT m.epoch, m.applied_to FROM authsync.mirror_progress AS m WHERE m.project_id = $1`, p.ID).
		Scan(&known.Epoch, &known.AppliedTo)
	if errors.Is(err, pgx.ErrNoRows) { // nothing was ever applied
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	conn, err := p.Store.Tenants().Connect(ctx, p.URL, pgdb.Options{ApplicationName: "authsync doctor", Project: p.ID})
	if err != nil { // the schema check reports it
		return nil, nil
	}
	defer conn.Close(context.WithoutCancel(ctx))
	found, err := mirror.ReadProgress(ctx, conn)
	if pgdb.Code(err) != "" { // a missing schema or a lock: the checks of the schema and of the events report it
		return nil, nil
	}
	if err != nil {
		return []Fault{{What: err.Error(), Next: "give the URL of the primary: authsync projects update " + p.Name + " --database-url-file FILE"}}, nil
	}
	if !known.Lost(found) {
		return nil, nil
	}
	what := "its database has lost what was applied since " + watch.Moment(found.AppliedAt) + ", as if it was restored from a backup"
	if known.Epoch != found.Epoch || found.AppliedAt.IsZero() {
		what = "its mirror was recreated, empty: what had been applied before is not in it"
	}
	return []Fault{{
		What: what,
		Next: "a worker notices it within a minute and applies it again from the inbox: see that one is running, then run authsync doctor again",
	}}, nil
}

// repairFault reports what is still missing after a loss.
func repairFault(ctx context.Context, p *Project, r *repair.Repair) ([]Fault, error) {
	lost := r.What()
	if r.FinishedAt == nil {
		return []Fault{{
			What: fmt.Sprintf("%s; %s", lost, r.Stage()),
			Next: "wait until that is done: it goes on by itself as long as a worker runs",
		}}, nil
	}
	open, err := unreconciled(ctx, p, r)
	if err != nil {
		return nil, err
	}
	if len(open) == 0 {
		if r.FoundAt.Before(p.Now().Add(-lastingLoss)) {
			return nil, nil
		}
		return []Fault{{Note: true, What: fmt.Sprintf("%s; that is repaired: %s", lost, r.Stage())}}, nil
	}
	f := Fault{Warning: r.FoundAt.Before(p.Now().Add(-lastingLoss)), What: lost + "; what the inbox has was applied again"}
	if r.NotInInboxUntil != nil {
		f.What += ", but messages received before " + watch.Moment(*r.NotInInboxUntil) + " are no longer in it"
	} else {
		f.What += ", but users that were read from their provider are in no message"
	}
	var next []string
	for _, name := range open {
		if why := r.Unreconciled[name]; why != "" {
			f.What += fmt.Sprintf("; %s cannot be read: %s", name, why)
			next = append(next, fmt.Sprintf("authsync integrations set %s %s with what reading needs, then authsync reconcile %[1]s %[2]s", p.Name, name))
			continue
		}
		next = append(next, fmt.Sprintf("authsync reconcile %s %s", p.Name, name))
	}
	f.Next = strings.Join(next, "; ")
	return []Fault{f}, nil
}

// unreconciled returns the providers whose users may be missing: no reconcile or backfill has
// completed since the loss, and the inbox does not have everything, or users had been read from the
// provider.
func unreconciled(ctx context.Context, p *Project, r *repair.Repair) ([]string, error) {
	type row struct {
		Provider     string
		Read, Caught bool
	}
	all, err := collect[row](ctx, p.Control, `
		SELECT i.provider,
		       EXISTS (SELECT FROM authsync.sync_runs AS b
		               WHERE b.project_id = i.project_id AND b.provider = i.provider AND b.applied > 0 AND b.started_at < $2),
		       EXISTS (SELECT FROM authsync.sync_runs AS b
		               WHERE b.project_id = i.project_id AND b.provider = i.provider AND b.state = 'done' AND b.started_at >= $2)
		FROM authsync.integrations AS i
		WHERE i.project_id = $1`, p.ID, r.FoundAt)
	if err != nil {
		return nil, err
	}
	open := make(map[string]bool)
	for _, i := range all {
		if !i.Caught && (i.Read || r.NotInInboxUntil != nil) {
			open[i.Provider] = true
		}
	}
	return slices.Sorted(maps.Keys(open)), nil
}
