// Package apply contains the River jobs that apply messages to the mirror. They read messages from
// the inbox, decode them, call the mirror's one function, and record the outcome of each event in
// the control database.
//
//	apply_inbox        a project's pending messages, in batches: read, decode, apply by
//	                   one call, record outcomes and settle, the last two in one
//	                   transaction. At most one exists per project (package jobs)
//	retry_event        one event that failed: the same, with the database's error
//	                   as the job's error, retried with backoff
//	maintain_inbox     every hour: create the coming days' partitions
//	prune_inbox        every hour: delete messages past their retention
//
// A worker that dies between the mirror's commit and its own leaves a job that runs again; the
// mirror's ledger then returns the original outcomes. An unreachable project database costs a job
// no attempt: the job snoozes.
//
// An event that says only that a user may have changed does not reach the mirror: the user is
// queued to be read from the provider (package refresh).
package apply

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/tracing"
)

// Directory returns a project's integrations.
type Directory interface {
	Lookup(ctx context.Context, projectID uuid.UUID, providerName string) (project.Endpoint, error)
}

// Databases limits the jobs of each project; see tenantdb.Databases.
type Databases interface {
	Acquire(ctx context.Context, projectID uuid.UUID) (release func(), err error)
	Ready(ctx context.Context, projectID uuid.UUID) error
}

// Mirrors applies events; see mirror.Mirrors.
type Mirrors interface {
	Apply(ctx context.Context, projectID uuid.UUID, events []mirror.Event) ([]mirror.Result, error)
	CloseChanges(ctx context.Context, projectID uuid.UUID, events []mirror.Event, within time.Duration) ([]int, error)
	Rehearse(ctx context.Context, projectID uuid.UUID, events []mirror.Event) (mirror.Rehearsal, error)
	Progress(projectID uuid.UUID) mirror.Progress
}

// Refreshes queues users to be read from their provider; see refresh.Queue.
type Refreshes interface {
	// Possible returns fault.Unsupported where the credentials do not allow it.
	Possible(ctx context.Context, projectID uuid.UUID, providerName string) error
	Request(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, providerName string, userIDs []string) error
}

// Config configures the workers.
type Config struct {
	Pool      *pgxpool.Pool // the control database
	Inbox     *inbox.Inbox
	Directory Directory
	Databases Databases
	Mirrors   Mirrors
	Refreshes Refreshes
	// Erased tells which records were erased, see mirror.Mirrors; nil: none ever is.
	Erased func(ctx context.Context, projectID uuid.UUID, records []mirror.Owned) ([]int, error)
	Log    *slog.Logger
	// FailuresOnly leaves the lines of all outcomes out of the log but those of failed events.
	FailuresOnly bool
	// Retention is how long messages are kept, unless a project has a setting of its own; see inbox.Pruner.
	Retention time.Duration
	// OthersActive reports whether jobs of other projects recently started in this process, so that
	// a backlog should yield to them; nil means that there are none.
	OthersActive func(job *rivertype.JobRow) bool
	// DecodeTime is how long a batch may be decoded; what is left of it is read again. 0 means 5 s, which only mappings that
	// tenants write can need.
	DecodeTime time.Duration
	// Metrics and Tracer may be nil.
	Metrics *Metrics
	Tracer  *tracing.Tracer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// errProjectGone is the reason of events whose project was deleted before they were applied.
var errProjectGone = errors.New("the project was deleted before this event was applied")

// decode translates stored messages into events. Events that the mirror need not see already have
// their outcome; the others are in toApply, with open outcomes at the indexes in places.
//
// It stops after DecodeTime, or where a decoder has to wait; done is how many messages were decoded, at least one. The error
// means that none could be.
func (c *Config) decode(ctx context.Context, projectID uuid.UUID, messages []inbox.StoredMessage) (b batch, done int, err error) {
	begun := time.Now()
	defer func() { b.times.decoded = time.Now() }()
	for i, d := range messages {
		if i > 0 && time.Since(begun) > c.DecodeTime {
			return b, i, nil
		}
		switch err := c.add(ctx, projectID, d, &b); {
		case err != nil && i > 0:
			return b, i, nil // it is met again with the next batch
		case err != nil:
			return batch{}, 0, err
		}
	}
	return b, len(messages), nil
}

// add decodes a message into the batch. After an error the batch is as it was.
func (c *Config) add(ctx context.Context, projectID uuid.UUID, d inbox.StoredMessage, b *batch) error {
	endpoint, err := c.integration(ctx, projectID, d.Provider)
	if errors.Is(err, project.ErrNoProject) {
		b.fail(projectID, d, errProjectGone)
		return nil
	}
	if err != nil {
		return err
	}
	d.Account = endpoint.AccountMark
	events, err := c.decodeOne(ctx, endpoint.Provider, d, endpoint.Options)
	switch {
	case errors.Is(err, errCrashed):
		b.fail(projectID, d, err)
		return nil
	case err != nil:
		return err
	}
	if slices.ContainsFunc(events, func(e provider.Event) bool { return e.Verdict == provider.Refresh }) {
		if err := c.canRefresh(ctx, projectID, d.Provider, b); err != nil {
			return err
		}
	}
	for _, e := range events {
		b.add(projectID, d, e)
	}
	return nil
}

// errCrashed is the reason of a message that made a decoder panic. That is a bug of ours, and must
// not fail the rest of the batch on every attempt.
var errCrashed = errors.New("reading this message crashed authsync's decoder: please report it; it can be replayed with a version that mends it")

func (c *Config) decodeOne(
	ctx context.Context, kind provider.Provider, d inbox.StoredMessage, options provider.Options,
) (events []provider.Event, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			c.Log.ErrorContext(ctx, "decoder_crashed", slog.Int64("inbox_id", d.InboxID), slog.String("provider", d.Provider),
				slog.String("stack", string(debug.Stack())))
			events, err = nil, errCrashed
		}
	}()
	return provider.Decode(ctx, kind, d.Message, options)
}

// acquire takes a slot of the project's database. A deleted project has no database, and needs none for what is left to be
// done for it.
func (c *Config) acquire(ctx context.Context, projectID uuid.UUID) (release func(), err error) {
	release, err = c.Databases.Acquire(ctx, projectID)
	if errors.Is(err, project.ErrNoProject) {
		return func() {}, nil
	}
	return release, err
}

// ready reports whether the project's database can be used, as far as is known. A deleted project needs none for what is left
// to be done for it.
func (c *Config) ready(ctx context.Context, projectID uuid.UUID) error {
	if err := c.Databases.Ready(ctx, projectID); !errors.Is(err, project.ErrNoProject) {
		return err
	}
	return nil
}

// integration returns the integration that a message is for. Accepted messages are always applied: an
// integration removed since then counts as one with default options, and unreadable secrets do not
// matter, because nothing is verified here.
func (c *Config) integration(ctx context.Context, projectID uuid.UUID, name string) (project.Endpoint, error) {
	endpoint, err := c.Directory.Lookup(ctx, projectID, name)
	if errors.Is(err, project.ErrNoIntegration) {
		kind, err := registry.Lookup(name)
		return project.Endpoint{ProjectID: projectID, Provider: kind}, err
	}
	if errors.Is(err, project.ErrUnusable) && endpoint.Provider != nil {
		err = nil
	}
	return endpoint, err
}

// batch holds the events of one job and their outcomes.
type batch struct {
	outcomes []inbox.Outcome
	toApply  []mirror.Event
	places   []int // places[i] is the index in outcomes of toApply[i]
	toRead   []wanted
	// unreadable says, by provider, why users cannot be read; empty if they can.
	unreadable map[string]string
	// recorded reports that some events may have an outcome already.
	recorded bool
	times    times
}

// wanted is a user to be read from a provider because of an event.
type wanted struct {
	place            int
	provider, userID string
}

func (b *batch) add(projectID uuid.UUID, d inbox.StoredMessage, e provider.Event) {
	o := inbox.Outcome{
		InboxID: d.InboxID, Ordinal: e.Ordinal, ReceivedAt: d.ReceivedAt, ProjectID: projectID,
		EventID: e.ID, Type: e.Type, UserID: e.UserID, EventTime: e.Time(), Reason: e.Reason,
		Provider: d.Provider, TraceParent: d.Headers[tracing.Header],
	}
	if ref := e.Record(); ref.Type != record.User && ref.ID != "" {
		o.RecordType, o.RecordID = string(ref.Type), ref.ID
	}
	switch e.Verdict {
	case provider.Ignore:
		o.Outcome = inbox.Ignored
	case provider.Fail:
		o.Outcome = inbox.Failed
	case provider.Refresh:
		o.Outcome = inbox.Ignored
		if o.Reason = b.unreadable[d.Provider]; o.Reason == "" {
			o.Reason = "an entry of a log stream has no profile: the user is read from " + provider.Title(d.Provider) + " instead"
			b.toRead = append(b.toRead, wanted{len(b.outcomes), d.Provider, e.UserID})
		}
	case provider.Apply:
		b.toApply = append(b.toApply, mirror.Event{Event: e, Provider: d.Provider, InboxID: d.InboxID, ReceivedAt: d.ReceivedAt})
		b.places = append(b.places, len(b.outcomes))
	}
	b.outcomes = append(b.outcomes, o)
}

// changed reports whether the mirror may have changed.
func (b *batch) changed() bool {
	return slices.ContainsFunc(b.outcomes, func(o inbox.Outcome) bool { return o.Outcome == inbox.Applied })
}

func (b *batch) fail(projectID uuid.UUID, d inbox.StoredMessage, err error) {
	b.outcomes = append(b.outcomes, inbox.Outcome{
		InboxID: d.InboxID, ReceivedAt: d.ReceivedAt, ProjectID: projectID, Outcome: inbox.Failed, Reason: err.Error(),
		Provider: d.Provider, TraceParent: d.Headers[tracing.Header],
	})
}

// canRefresh checks, once per batch and provider, whether users can be read.
func (c *Config) canRefresh(ctx context.Context, projectID uuid.UUID, providerName string, b *batch) error {
	if _, known := b.unreadable[providerName]; known {
		return nil
	}
	const noProfile = "an entry of a log stream has no profile, and the user cannot be read: "
	why := ""
	err := c.Refreshes.Possible(ctx, projectID, providerName)
	switch {
	case fault.Is(err, fault.Unsupported):
		why = noProfile + err.Error()
	case errors.Is(err, project.ErrNoIntegration), errors.Is(err, project.ErrNoProject):
		why = noProfile + "the integration was removed"
	case err != nil:
		return err
	}
	if b.unreadable == nil {
		b.unreadable = make(map[string]string)
	}
	b.unreadable[providerName] = why
	return nil
}

// record records a batch's outcomes, refresh requests and a relay request in the transaction that
// finishes the job, so that all or none take effect.
func (c *Config) record(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, b *batch) error {
	b.times.recording = time.Now()
	recordOutcomes := c.Inbox.RecordNewOutcomes
	if b.recorded {
		recordOutcomes = c.Inbox.RecordOutcomes
	}
	if err := recordOutcomes(ctx, tx, b.outcomes); err != nil {
		return err
	}
	if err := eraseMessages(ctx, tx, b); err != nil {
		return err
	}
	if len(b.toApply) > 0 {
		if err := repair.Record(ctx, tx, projectID, c.Mirrors.Progress(projectID)); err != nil {
			return err
		}
	}
	users := make(map[string][]string)
	for _, w := range b.toRead {
		users[w.provider] = append(users[w.provider], w.userID)
	}
	for _, name := range slices.Sorted(maps.Keys(users)) { // the lock order
		if err := c.Refreshes.Request(ctx, tx, projectID, name, users[name]); err != nil {
			return err
		}
	}
	if b.changed() {
		return delivery.RequestRelay(ctx, tx, projectID)
	}
	return nil
}

// apply sends the batch to the mirror and fills in the outcomes. An error means that no event's
// outcome is known. Events blocked by a lock in the project's database stay pending, to be retried
// one by one at the given time.
func (c *Config) apply(ctx context.Context, projectID uuid.UUID, b *batch, again time.Time) error {
	if err := c.dropErased(ctx, projectID, b); err != nil {
		return err
	}
	if err := c.rehearse(ctx, projectID, b); err != nil {
		return err
	}
	if len(b.toApply) == 0 {
		return nil
	}
	b.times.applying = time.Now()
	results, err := c.Mirrors.Apply(ctx, projectID, b.toApply)
	b.times.applied = time.Now()
	if err != nil {
		return err
	}
	for i, r := range results {
		o := &b.outcomes[b.places[i]]
		if r.Err != nil {
			o.Outcome, o.Err = inbox.Failed, r.Err
			o.Reason = joinReasons(pgdb.Describe(r.Err), o.Reason)
			continue
		}
		if r.Outcome == mirror.OutcomeErased { // since dropErased has looked
			o.Erase()
			continue
		}
		if r.Outcome == mirror.OutcomeDeferred {
			o.Outcome, o.RetryAt = inbox.Pending, again
			o.Reason = joinReasons(r.Reason, "trying again at "+again.UTC().Format(time.RFC3339), o.Reason)
			continue
		}
		o.Outcome = r.Outcome
		o.Reason = joinReasons(r.Reason, o.Reason)
	}
	return c.settleRaces(ctx, projectID, b, results)
}

func joinReasons(reasons ...string) string {
	var said []string
	for _, r := range reasons {
		if r != "" {
			said = append(said, r)
		}
	}
	return strings.Join(said, "; ")
}

// later turns an error that the events did not cause into a wait, which costs the job no attempt.
// The reason goes into the job's output, where SQL and River UI show it.
func (c *Config) later(ctx context.Context, job *rivertype.JobRow, err error) error {
	if ctx.Err() != nil { // we are shutting down; another process continues
		return jobs.Yield(ctx)
	}
	wait := &jobs.WaitError{After: time.Second, Err: err, Failed: true}
	if delay, ok := errors.AsType[*tenantdb.DelayError](err); ok {
		wait, err = &jobs.WaitError{After: delay.After, Err: err}, delay.Err
	} else {
		c.Log.WarnContext(ctx, "job_snoozed", slog.Int64("job_id", job.ID), slog.String("kind", job.Kind), slog.Any("error", err))
	}
	return jobs.Wait(ctx, job, redact.Reason(err), wait)
}
