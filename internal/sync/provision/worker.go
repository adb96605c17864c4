package provision

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/redact"
)

// JobQueue is the River queue of provision_webhook jobs: a provider that hangs must delay nothing else.
const JobQueue = "webhooks"

const (
	maxWorkers = 5
	// workTime limits the calls of one job; it is below the time of the lease.
	workTime = 25 * time.Second
	// arrivalPause is the pause between two looks for the test event.
	arrivalPause = time.Second
	// The pauses after a failure grow from the first to the longest.
	firstPause, longestPause = 2 * time.Second, 5 * time.Minute
	leasePause               = 2 * time.Second
)

var errSlow = errors.New("the provider did not answer in time")

// Register adds the workers and their queue to a River client under construction.
func (w *Webhooks) Register(workers *river.Workers, queues map[string]river.QueueConfig) {
	river.AddWorker(workers, &worker{Webhooks: w})
	river.AddWorker(workers, &checkWorker{Webhooks: w})
	queues[JobQueue] = river.QueueConfig{MaxWorkers: maxWorkers}
}

type worker struct {
	river.WorkerDefaults[project.ProvisionArgs]
	*Webhooks
}

// Timeout is longer than the worker's own time limit, so that the latter expires first.
func (w *worker) Timeout(*river.Job[project.ProvisionArgs]) time.Duration {
	return workTime + 5*time.Second
}

// NextRetry retries soon after a worker died.
func (w *worker) NextRetry(job *river.Job[project.ProvisionArgs]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 10*time.Second))
}

// Work takes the webhook one or several steps further.
func (w *worker) Work(ctx context.Context, job *river.Job[project.ProvisionArgs]) error {
	owns, err := jobs.Owns(ctx, w.config.Pool, job.JobRow, job.Args.Subject())
	if err != nil {
		return err
	}
	if owns {
		working, cancel := context.WithTimeoutCause(ctx, workTime, errSlow)
		err = w.leased(working, job.Args)
		cancel()
	}
	var wait *jobs.WaitError
	switch {
	case err == nil:
		return jobs.End(ctx, w.config.Pool, job.JobRow, job.Args.Subject(), time.Now())
	case ctx.Err() != nil: // we are shutting down: another process continues
		return river.JobSnooze(0)
	case errors.Is(err, errSuperseded):
		return jobs.Yield(ctx)
	case errors.As(err, &wait):
		wait.After = w.config.Retry(wait.After)
		return jobs.Wait(ctx, job.JobRow, redact.Reason(wait.Err), wait)
	default:
		return err
	}
}

// leased works while nobody else changes the webhook.
func (w *worker) leased(ctx context.Context, args project.ProvisionArgs) error {
	lease, err := w.store.lease(ctx, args.ProjectID, args.Provider)
	if err != nil {
		return err
	}
	if lease == uuid.Nil {
		r, err := w.store.find(ctx, args.ProjectID, args.Provider)
		if err != nil || r == nil {
			return err
		}
		return &jobs.WaitError{After: leasePause, Exact: true, Err: errors.New("another process is changing the webhook")}
	}
	defer w.store.release(ctx, args.ProjectID, args.Provider, lease)
	r, err := w.store.find(ctx, args.ProjectID, args.Provider)
	if err != nil || r == nil || !r.IsWanted {
		return err
	}
	return w.settle(ctx, r, w.work(ctx, r))
}

// work is what there is to do in a state. An error is the provider's, unless it is one of ours.
func (w *worker) work(ctx context.Context, r *row) error {
	a, err := w.open(ctx, r.ProjectID, r.Provider)
	if err != nil {
		return err
	}
	if err := w.CheckBase(r.ProjectID, r.Provider, a.options); err != nil {
		return err
	}
	switch r.State {
	case Pending:
		if err := w.setUp(ctx, a, r); err != nil {
			return err
		}
		return w.await(ctx, a, r)
	case Testing:
		return w.await(ctx, a, r)
	case Ready:
		return w.compare(ctx, a, r)
	default:
		return nil
	}
}

// missingError says which permissions the credentials lack.
type missingError struct{ names []string }

func (e *missingError) Error() string { return "the credentials lack " + strings.Join(e.names, ", ") }

// setUp checks the permissions, sets the webhook up, and has the provider send its test event.
func (w *worker) setUp(ctx context.Context, a account, r *row) error {
	if r.AllowedAt == nil {
		missing, err := a.MissingPermissions(ctx)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return &missingError{missing}
		}
		if err := w.store.note(ctx, noteAllowed, r); err != nil {
			return err
		}
	}
	if r.EnsuredAt == nil || r.WebhookID == nil {
		if err := w.ensure(ctx, a, r); err != nil {
			return err
		}
	}
	eventID, err := a.SendTest(ctx, *r.WebhookID)
	if err != nil {
		return err
	}
	return w.store.note(ctx, noteTest, r, eventID)
}

// ensure makes the webhook what it should be, and records it.
func (w *worker) ensure(ctx context.Context, a account, r *row) error {
	found, err := a.Ensure(ctx, w.want(r.ProjectID, r))
	if err != nil {
		return err
	}
	if err := w.store.noteWebhook(ctx, r, found); err != nil {
		return err
	}
	r.WebhookID, r.IsMade = &found.ID, found.Made
	if found.Secret != "" { // before the test event, which could not be verified without it
		if err := w.config.AddSecret(ctx, r.ProjectID, r.Provider, found.Secret); err != nil {
			return err
		}
	}
	w.config.Log.InfoContext(ctx, "webhook_provisioned", slog.String("project_id", r.ProjectID.String()), slog.String("provider", r.Provider),
		slog.String("webhook_id", found.ID), slog.Bool("made", found.Made))
	return w.store.note(ctx, noteEnsured, r)
}

// await looks whether the test event has arrived.
func (w *worker) await(ctx context.Context, a account, r *row) error {
	now, err := w.store.find(ctx, r.ProjectID, r.Provider)
	if err != nil || now == nil || now.RequestSeq != r.RequestSeq || now.TestEventID == nil || now.WebhookID == nil {
		return errors.Join(err, errSuperseded)
	}
	arrived, ago, err := w.store.arrived(ctx, now)
	switch {
	case err != nil:
		return err
	case arrived:
		return w.store.note(ctx, noteReady, r)
	case ago < w.config.TestTime:
		return &jobs.WaitError{After: arrivalPause, Exact: true, Err: errors.New("the provider's test event has not arrived yet")}
	}
	why := a.TestFailure(ctx, *now.WebhookID, *now.TestEventID)
	if why != "" {
		why = " The provider says: " + why + "."
	}
	return fault.Newf(fault.Unsupported, "the test event was sent %s ago and is not among the received events: "+
		"see whether %s leads to this server from outside (authsync events rejected shows what was refused).%s",
		ago.Round(time.Second), *now.URL, why)
}

// compare notes what differs at the provider. It changes nothing there: whoever changed it may have had a
// reason.
func (w *worker) compare(ctx context.Context, a account, r *row) error {
	want := w.want(r.ProjectID, r)
	found, err := a.Find(ctx, want)
	if err != nil && isLasting(err) {
		return w.store.note(ctx, noteCompared, r, []string{"it could not be compared: " + redact.Reason(err)})
	}
	if err != nil {
		return err
	}
	differences := a.Differences(found, want)
	if differences == nil {
		differences = []string{}
	}
	return w.store.note(ctx, noteCompared, r, differences)
}

// isLasting reports whether only a person can resolve the error.
func isLasting(err error) bool {
	return fault.Is(err, fault.Unsupported, fault.CredentialsRefused, fault.ProviderError, fault.Invalid)
}

// settle records why there is more to do, and when.
func (w *worker) settle(ctx context.Context, r *row, err error) error {
	var wait *jobs.WaitError
	var missing *missingError
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	block := func(problem string, missing []string, blocked bool) error {
		w.config.Log.WarnContext(ctx, "webhook_not_provisioned", slog.String("project_id", r.ProjectID.String()), slog.String("provider", r.Provider),
			slog.Bool("blocked", blocked), slog.String("reason", problem))
		if r.State == Ready { // only the comparison failed
			return nil
		}
		return w.store.note(noting, noteProblem, r, problem, missing, blocked)
	}
	switch {
	case err == nil, errors.As(err, &wait), errors.Is(err, errSuperseded), errors.Is(err, errControl):
		return err
	case errors.Is(err, project.ErrNoIntegration), errors.Is(err, project.ErrNoProject):
		return nil
	case errors.As(err, &missing):
		return block("the credentials lack permissions at the provider; nothing was changed there", missing.names, true)
	case isLasting(err):
		return block(redact.Reason(err), []string{}, true)
	}
	wait = &jobs.WaitError{After: firstPause, Most: longestPause, Failed: true, Err: err}
	if limited, is := errors.AsType[*userapi.RateLimitError](err); is {
		wait = &jobs.WaitError{After: max(limited.After, time.Second), Exact: true, Err: err}
	}
	if err := block(redact.Reason(err), []string{}, false); err != nil {
		return err
	}
	return wait
}
