package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// Backfills starts backfills and reconciles, and tells of them; see syncrun.Store.
type Backfills interface {
	// Start returns *syncrun.RunningError while there is an unfinished run of either
	// kind, and fault.Unsupported where the credentials do not allow it.
	Start(ctx context.Context, projectID uuid.UUID, providerName string, o syncrun.Order) (syncrun.Run, error)
	// Latest returns syncrun.ErrNoRun where there was none of the kind yet.
	Latest(ctx context.Context, projectID uuid.UUID, providerName, kind string) (syncrun.Run, error)
	// Cancel gives the run that it cancelled, else the newest one, or syncrun.ErrNoRun.
	Cancel(ctx context.Context, projectID uuid.UUID, providerName, kind string) (syncrun.Run, error)
}

// startRun starts a run of a kind. A reconcile has its options in the body.
func (a *API) startRun(kind string) func(*http.Request) (answer, error) {
	return func(r *http.Request) (answer, error) {
		p, of, err := a.integration(r)
		if err != nil {
			return answer{}, err
		}
		order := syncrun.Order{Kind: kind}
		if kind == provider.KindReconcile {
			var in wire.Order
			if err := readBody(r, &in); err != nil {
				return answer{}, err
			}
			if in.Force { // it lets the deletions pass that the guards stop
				if err := requireRole(r, project.Admin); err != nil {
					return answer{}, err
				}
			}
			order.DryRun, order.Force = in.DryRun, in.Force
		}
		run, err := a.config.Backfills.Start(r.Context(), p.ID, of.Name(), order)
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusAccepted, body: runOf(&run)}, nil
	}
}

func (a *API) getRun(kind string) func(*http.Request) (answer, error) {
	return a.onRun(kind, a.config.Backfills.Latest)
}

func (a *API) cancelRun(kind string) func(*http.Request) (answer, error) {
	return a.onRun(kind, a.config.Backfills.Cancel)
}

func (a *API) onRun(
	kind string, do func(ctx context.Context, projectID uuid.UUID, providerName, kind string) (syncrun.Run, error),
) func(*http.Request) (answer, error) {
	return func(r *http.Request) (answer, error) {
		p, of, err := a.integration(r)
		if err != nil {
			return answer{}, err
		}
		run, err := do(r.Context(), p.ID, of.Name(), kind)
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusOK, body: runOf(&run)}, nil
	}
}

// runOf is the document of a run.
func runOf(r *syncrun.Run) wire.Run {
	run := wire.Run{
		ID: r.ID.String(), ProjectID: r.ProjectID.String(), Provider: r.Provider, Kind: r.Kind, DryRun: r.DryRun, Force: r.Force,
		State: r.State, Phase: r.Phase, Total: r.Total, Read: r.Read, Applied: r.Applied, Unchanged: r.Unchanged, Failed: r.Failed,
		PerSecond: r.PerSecond, SecondsLeft: r.SecondsLeft, WaitReason: r.WaitReason, Error: r.Error,
		Report:    wire.RunReport{Notes: r.Report.Notes, Bad: each(r.Report.Bad, func(b syncrun.Bad) wire.RunEntry { return wire.RunEntry(b) })},
		StartedAt: r.StartedAt, UpdatedAt: r.UpdatedAt, ProgressedAt: r.ProgressedAt, FinishedAt: r.FinishedAt,
	}
	if len(r.Report.Records) > 0 {
		run.Report.Records = make(map[string]int64, len(r.Report.Records))
		for t, n := range r.Report.Records {
			run.Report.Records[string(t)] = n
		}
	}
	if d := r.Drift; d != nil {
		run.Drift = &wire.Drift{
			TypeDrift: wire.TypeDrift(d.TypeDrift), Restarts: d.Restarts, Records: make(map[string]wire.RecordDrift, len(d.Records)),
			Users: each(d.Users, func(u mirror.Drifted) wire.Drifted {
				return wire.Drifted{UserID: u.RecordID, Finding: u.Finding, Columns: u.Columns, State: u.State}
			}),
		}
		for t, of := range d.Records {
			run.Drift.Records[string(t)] = wire.RecordDrift{
				TypeDrift: wire.TypeDrift(of.TypeDrift), UnlistedReason: of.UnlistedReason,
				Examples: each(of.Examples, func(r mirror.Drifted) wire.DriftedRecord { return wire.DriftedRecord(r) }),
			}
		}
	}
	return run
}

func notStarted(reason string) *wire.BackfillStart { return &wire.BackfillStart{Reason: &reason} }

// autoBackfill starts a backfill where the credentials for reading the users
// were just stored or changed, or organizations were turned on, and where they allow it but there
// never was one.
// A reconcile that runs is cancelled where they were changed: the rest of its list may be
// another account's, which does not have the users of the first.
// A backfill that cannot be started is no fault of the request. Nil: there
// is nothing to say.
func (a *API) autoBackfill(ctx context.Context, projectID uuid.UUID, i project.Integration) *wire.BackfillStart {
	if !i.FetchChanged {
		if _, err := a.config.Backfills.Latest(ctx, projectID, i.Provider, provider.KindBackfill); !errors.Is(err, syncrun.ErrNoRun) {
			return nil
		}
	}
	order := syncrun.Order{Kind: provider.KindBackfill}
	run, err := a.config.Backfills.Start(ctx, projectID, i.Provider, order)
	var running *syncrun.RunningError
	if i.FetchChanged && errors.As(err, &running) && running.Run.Kind == provider.KindReconcile {
		if _, err = a.config.Backfills.Cancel(ctx, projectID, i.Provider, provider.KindReconcile); err == nil {
			run, err = a.config.Backfills.Start(ctx, projectID, i.Provider, order)
		}
	}
	switch {
	case err == nil:
		return &wire.BackfillStart{Started: true, RunID: idOrNull(&run.ID)}
	case errors.As(err, &running):
		reason := fmt.Sprintf("%s %s is %s and goes on, with these credentials", running.Run.Kind, running.Run.ID, running.Run.State)
		return &wire.BackfillStart{RunID: idOrNull(&running.Run.ID), Reason: &reason}
	case fault.Is(err, fault.Unsupported):
		return notStarted(err.Error())
	default:
		a.config.Log.ErrorContext(ctx, "backfill_not_started", slog.String("project_id", projectID.String()),
			slog.String("provider", i.Provider), slog.Any("error", err))
		return notStarted("it could not be started now: start it with authsync backfill, or send this again")
	}
}
