package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	// firstPause and longestPause are the pauses after the first failure and after many in a row.
	firstPause   = 2 * time.Second
	longestPause = 5 * time.Minute
	// recyclePause is the pause after a connection that the provider ended, unless it asks for
	// another one; longestRecycle limits what it may ask for.
	recyclePause   = 2 * time.Second
	longestRecycle = 30 * time.Second
	// shortLife is how long a connection must have lasted that brought nothing, not to count as a
	// failure.
	shortLife = 20 * time.Second
	// reconcileEvery is the pause between two attempts to start a reconcile.
	reconcileEvery = 5 * time.Second
)

// connection is one connection to a provider. It implements userapi.EventSink.
type connection struct {
	*Puller
	row

	ctx   context.Context //nolint:containedctx // it ends the connection from outside
	end   context.CancelCauseFunc
	log   *slog.Logger
	begun time.Time

	origin   string
	verifier provider.Verifier
	progress bool // something was taken
}

// follow holds the connection until it ends, and records how.
func (c *connection) follow() {
	var owed chan struct{}
	ctx, stop := context.WithCancel(c.ctx)
	if c.ReconcileDue {
		owed = make(chan struct{})
		go func() {
			defer close(owed)
			c.startReconcile(ctx)
		}()
	}
	pause, err := c.connect()
	stop()
	if owed != nil {
		<-owed
	}
	if cause := context.Cause(c.ctx); cause != nil {
		err = cause
	}
	r := c.judge(c.ctx, pause, err)
	if err := c.release(c.ctx, r); err != nil {
		// The claim expires by itself.
		c.log.WarnContext(c.ctx, "pull_not_released", slog.Any("error", err))
	}
}

// connect opens the integration's events and follows them.
func (c *connection) connect() (pause time.Duration, err error) {
	endpoint, err := c.config.Directory.LookupFresh(c.ctx, c.ProjectID, c.Provider)
	if err != nil {
		return 0, err
	}
	if err := c.checkQuota(); err != nil {
		return 0, err
	}
	c.verifier = endpoint.Verifier
	source, err := c.source(c.ctx, key{c.ProjectID, c.Provider}, c.ChangedAt)
	if err != nil {
		return 0, err
	}
	c.origin = source.Origin()
	from := userapi.Position{Since: c.Since}
	if c.Cursor != nil && c.Origin != nil && *c.Origin == c.origin {
		from.Cursor = *c.Cursor
	}
	return source.Follow(c.ctx, from, c)
}

// Connected records that the provider has accepted the position.
func (c *connection) Connected(ctx context.Context) error {
	c.log.InfoContext(ctx, "pull_connected")
	return c.noteConnected(ctx)
}

// Take stores a batch of events as messages, and the cursor with them.
func (c *connection) Take(ctx context.Context, batch userapi.EventBatch) error {
	if len(batch.Bodies) > 0 {
		if err := c.checkQuota(); err != nil {
			return err
		}
	}
	now := c.now()
	messages := make([]inbox.Message, len(batch.Bodies))
	for i, body := range batch.Bodies {
		stored, excluded := c.verifier.Redact(body)
		messages[i] = inbox.Message{
			ProjectID: c.ProjectID, Provider: c.Provider, VerifiedBy: provider.Proof{Method: Method}.String(), ReceivedAt: now,
			Headers: map[string]string{"Content-Type": "application/json"}, Body: stored, Excluded: excluded,
		}
	}
	err := c.config.Inbox.AppendWith(ctx, messages, func(tx pgx.Tx) error { return c.move(ctx, tx, batch) })
	if err != nil {
		return err
	}
	c.progress = true
	c.metrics.messages.WithLabelValues(provider.Kind(c.Provider)).Add(float64(len(messages)))
	for i := range messages {
		if c.config.Usage != nil {
			c.config.Usage.Add(c.ProjectID, now, len(messages[i].Body))
		}
	}
	c.log.DebugContext(ctx, "messages_pulled", slog.Int("messages", len(messages)))
	return nil
}

// Method is how the inbox notes that a message was pulled.
const Method = "pulled"

func (c *connection) checkQuota() error {
	if c.config.Usage == nil {
		return nil
	}
	if stored, quota, exceeded := c.config.Usage.Exceeded(c.ProjectID); exceeded {
		return fault.Newf(fault.Unsupported, "the project has stored %d bytes of messages, and may store %d "+
			"(AUTHSYNC_PROJECT_QUOTA_BYTES): pulling goes on once old ones are dropped", stored, quota)
	}
	return nil
}

// judge decides when to connect again, and what to tell people.
func (c *connection) judge(ctx context.Context, pause time.Duration, err error) result {
	failures := c.ConsecutiveFailures + 1
	if c.progress {
		failures = 1
	}
	lost, isLost := errors.AsType[*userapi.LostError](err)
	limited, isLimited := errors.AsType[*userapi.RateLimitError](err)
	lasted := c.now().Sub(c.begun)
	switch {
	case err == nil && (c.progress || lasted >= shortLife):
		c.ended(ctx, "recycled", nil)
		if pause <= 0 {
			pause = recyclePause
		}
		return result{retryAfter: spread(min(pause, longestRecycle))}
	case err == nil:
		err = fault.New(fault.ProviderUnavailable, "the provider ends each connection at once")
	case errors.Is(err, errTurnOver):
		c.ended(ctx, "turn_over", nil)
		return result{}
	case errors.Is(err, errNotMine), errors.Is(err, context.Canceled), gone(err):
		c.ended(ctx, "stopped", nil)
		return result{}
	case isLost:
		c.ended(ctx, "lost", err)
		return result{retryAfter: backoff(failures), lost: lost, failures: failures}
	}
	reason := describe(err)
	c.ended(ctx, "failed", err)
	if isLimited {
		return result{retryAfter: spread(limited.After), reason: reason, failures: failures}
	}
	return result{retryAfter: backoff(failures), reason: reason, failures: failures}
}

// describe says what is wrong in words that people may see.
func describe(err error) string {
	if known, is := fault.As(err); is {
		return known.Message
	}
	if errors.Is(err, project.ErrUnusable) {
		return "the stored credentials cannot be opened: authsync doctor says why"
	}
	return "an error of authsync's own, which the log of the process has (pull_failed)"
}

// gone reports whether the integration does not exist any more.
func gone(err error) bool {
	return errors.Is(err, project.ErrNoProject) || errors.Is(err, project.ErrNoIntegration)
}

// ended logs and counts the end of the connection.
func (c *connection) ended(ctx context.Context, why string, err error) {
	c.metrics.ended.WithLabelValues(provider.Kind(c.Provider), why).Inc()
	if err == nil {
		c.log.InfoContext(ctx, "pull_ended", slog.String("reason", why))
		return
	}
	if why == "lost" {
		c.log.WarnContext(ctx, "pull_lost", slog.Any("error", err))
		return
	}
	c.log.WarnContext(ctx, "pull_failed", slog.Int("consecutive_failures", c.ConsecutiveFailures), slog.Any("error", err))
}

// startReconcile starts the reconcile that finds what lost events said. While another run is under
// way it may have begun before the loss, so this waits for its end.
func (c *connection) startReconcile(ctx context.Context) {
	retry := time.NewTicker(reconcileEvery)
	defer retry.Stop()
	for {
		err := c.config.Reconcile(ctx, c.ProjectID, c.Provider)
		if err == nil {
			err = c.settleReconcile(ctx)
		}
		if err == nil {
			c.log.InfoContext(ctx, "pull_reconcile_started")
			return
		}
		c.log.DebugContext(ctx, "pull_reconcile_not_started", slog.Any("error", err))
		select {
		case <-retry.C:
		case <-ctx.Done():
			return
		}
	}
}

func backoff(failures int) time.Duration {
	return spread(min(firstPause<<min(failures-1, 10), longestPause))
}

// spread adds jitter, so that what failed together does not return together.
func spread(pause time.Duration) time.Duration { return pause + rand.N(pause/4+1) }

// opened is an integration's source, kept for its next connection: its token is good for a day.
type opened struct {
	source    userapi.EventSource
	changedAt time.Time
	used      time.Time
}

// keepUnused is how long a source without a connection is kept.
const keepUnused = time.Hour

// source opens an integration's events, or returns those of its last connection unless the
// integration was changed since. changedAt was read before the credentials are, so that a change in
// between opens them once more.
func (p *Puller) source(ctx context.Context, k key, changedAt time.Time) (userapi.EventSource, error) {
	p.mu.Lock()
	if o := p.sources[k]; o != nil && o.changedAt.Equal(changedAt) {
		o.used = p.now()
		p.mu.Unlock()
		return o.source, nil
	}
	p.mu.Unlock()
	source, err := p.config.Open(ctx, k.projectID, k.provider)
	if err != nil {
		return nil, fmt.Errorf("open the events: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources[k].close()
	p.sources[k] = &opened{source: source, changedAt: changedAt, used: p.now()}
	return source, nil
}

// forget drops the sources that have not been used for long. The caller holds mu.
func (p *Puller) forget() {
	now := p.now()
	for k, o := range p.sources {
		if p.held[k] == nil && now.Sub(o.used) > keepUnused {
			o.close()
			delete(p.sources, k)
		}
	}
}

// close closes what the source keeps open; o may be nil.
func (o *opened) close() {
	if o == nil {
		return
	}
	if closer, is := o.source.(io.Closer); is {
		_ = closer.Close() // it was only read from
	}
}
