package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/redact"
)

const (
	// fetchCooldown is the minimum time between two fetches. River wakes the workers with a
	// notification; this delay is added to it.
	fetchCooldown = 2 * time.Millisecond
	// fetchPoll is the polling interval when notifications are missed.
	fetchPoll = 2 * time.Second
	// fetchPollOnly is the polling interval without notifications.
	fetchPollOnly = 200 * time.Millisecond
	// keepCompleted is how long completed jobs are kept. The inbox and authsync.events keep more,
	// for longer.
	keepCompleted = time.Hour
	// longestPause is longer than any worker puts a job off: a delivery waits 12 hours, and a tenth more. Jobs that are put off for longer
	// are brought forward every forwardEvery.
	longestPause, forwardEvery = 14 * time.Hour, 10 * time.Minute
	// riverRescues is when River's own rescuer would take a job, long after rescue_jobs has.
	riverRescues = 24 * time.Hour
)

// Register adds workers and their queues to a client under construction.
type Register func(workers *river.Workers, queues map[string]river.QueueConfig)

// Config configures a Client.
type Config struct {
	Pool *pgxpool.Pool // the control database
	Log  *slog.Logger
	// Workers register the workers.
	Workers []Register
	// Periodic are the periodic jobs.
	Periodic []*river.PeriodicJob
	// Hooks are called for all jobs.
	Hooks []rivertype.Hook
	// Retention is how long failed and cancelled jobs are kept: as long as their events. 0 means
	// forever.
	Retention time.Duration
	// FetchPoll is the polling interval for jobs whose notification was missed; 0 means 2 s, or
	// 200 ms with PollOnly.
	FetchPoll time.Duration
	// PollOnly disables LISTEN, for databases behind a transaction pooler.
	PollOnly bool
	// Timeout limits the work of a job whose worker has no limit of its own; 0 means Timeout. Longer is
	// for tests that stop a process in the middle of a job.
	Timeout time.Duration
	// Now decides which jobs are due; nil means PostgreSQL's clock.
	Now func() time.Time
	// MayTake is asked before jobs are taken; while it says no, other processes take them. nil means yes.
	MayTake func(ctx context.Context) bool
}

// Client works the jobs. Apart from Start and Stop it is River's client.
type Client struct {
	*river.Client[pgx.Tx]

	config  Config
	held    *held
	lock    lock
	contact contact

	stop  context.CancelFunc
	ended chan struct{}
}

// New creates a Client. It does not connect before Start.
func New(config Config) (*Client, error) {
	id := newClientID()
	now := config.Now
	if now == nil {
		now = time.Now
	}
	c := &Client{config: config, held: newHeld(id, now)}
	c.lock = lock{config: config.Pool.Config().ConnConfig.Copy(), clientID: id, log: config.Log}
	poll := fetchPoll
	if config.PollOnly {
		poll = fetchPollOnly
	}
	workers, queues := river.NewWorkers(), make(map[string]river.QueueConfig)
	for _, register := range config.Workers {
		register(workers, queues)
	}
	settings := &river.Config{
		ID:                   id,
		Schema:               Schema,
		Logger:               config.Log,
		Workers:              workers,
		Queues:               queues,
		Hooks:                config.Hooks,
		Middleware:           []rivertype.Middleware{c.held.middleware(), redact.Middleware(config.Log)},
		FetchCooldown:        fetchCooldown,
		FetchPollInterval:    cmp.Or(config.FetchPoll, poll),
		PollOnly:             config.PollOnly,
		JobTimeout:           cmp.Or(config.Timeout, Timeout),
		RescueStuckJobsAfter: riverRescues,

		CompletedJobRetentionPeriod: keepCompleted,
		CancelledJobRetentionPeriod: keepEnded(config.Retention),
		DiscardedJobRetentionPeriod: keepEnded(config.Retention),

		PeriodicJobs: config.Periodic,
	}
	if config.Now != nil {
		settings.Test.Time = clock(config.Now)
	}
	fenced := &fence{Driver: riverpgxv5.New(config.Pool), held: c.held, mayTake: config.MayTake, contact: &c.contact}
	var err error
	if c.Client, err = river.NewClient(fenced, settings); err != nil {
		return nil, fmt.Errorf("make the job client: %w", err)
	}
	return c, nil
}

// newClientID names the process; River and its UI show it on the jobs it works.
func newClientID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "authsync"
	}
	host = strings.ReplaceAll(host, ".", "_")
	return fmt.Sprintf("%s_%d_%s", host[:min(len(host), 60)], os.Getpid(), strings.ToLower(rand.Text()[:8]))
}

// keepEnded returns how long River keeps a failed or cancelled job. For River, 0 means its own
// default of a day or a week, and -1 means forever.
func keepEnded(retention time.Duration) time.Duration {
	if retention == 0 {
		return -1
	}
	return retention
}

// clock adapts a function to River's interface.
type clock func() time.Time

func (c clock) Now() time.Time { return c() }

func (c clock) NowOrNil() *time.Time {
	now := c()
	return &now
}

// Start takes the lock that marks this process as alive and starts working. Cancelling ctx aborts
// the work; prefer Stop.
func (c *Client) Start(ctx context.Context) error {
	conn, err := c.lock.take(ctx)
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.ended = stop, make(chan struct{})
	go func() {
		defer close(c.ended)
		held := make(chan struct{})
		go func() {
			defer close(held)
			c.lock.hold(run, conn)
		}()
		c.sweep(run)
		<-held
	}()
	c.contact.note(nil) // the lock was taken
	if err := c.Client.Start(ctx); err != nil {
		c.stopRescue()
		return fmt.Errorf("start the job client: %w", err)
	}
	return nil
}

// Stop waits for running jobs until ctx ends; the jobs still running then have an unknown outcome.
func (c *Client) Stop(ctx context.Context) error {
	err := c.Client.Stop(ctx)
	if err == nil {
		c.stopRescue()
	}
	return err
}

// StopAndCancel cancels running jobs; they run again, here or elsewhere.
func (c *Client) StopAndCancel(ctx context.Context) error {
	err := c.Client.StopAndCancel(ctx)
	c.stopRescue()
	return err
}

// stopRescue releases the lock, so that other processes rescue whatever is still running.
func (c *Client) stopRescue() {
	if c.stop != nil {
		c.stop()
		<-c.ended
	}
}

const rescueJobs = `
	SELECT r.rescued, r.suspects, authsync.rescue_requests($6)
	FROM authsync.rescue_jobs($1, $2, $3, $4, $5, $6) AS r`

// sweep rescues jobs until ctx ends.
func (c *Client) sweep(ctx context.Context) {
	look := time.NewTicker(sweepEvery)
	defer look.Stop()
	suspects := []string{}
	var forwarded time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		var err error
		if time.Since(forwarded) >= forwardEvery {
			forwarded = time.Now()
			if err = c.bringForward(ctx); err != nil && ctx.Err() == nil {
				c.config.Log.WarnContext(ctx, "rescue_failed", slog.Any("error", err))
			}
		}
		if suspects, err = c.rescue(ctx, suspects); err != nil && ctx.Err() == nil {
			c.config.Log.WarnContext(ctx, "rescue_failed", slog.Any("error", err))
			suspects = []string{} // those that seem dead now may only be disconnected, as we were
		}
	}
}

const bringForward = `SELECT authsync.bring_forward_jobs($1, $2)`

// bringForward has jobs run soon that a wrong clock has put off.
func (c *Client) bringForward(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout, errors.New("PostgreSQL does not answer"))
	defer cancel()
	var jobs int64
	if err := c.config.Pool.QueryRow(ctx, bringForward, longestPause, c.now()).Scan(&jobs); err != nil {
		return fmt.Errorf("bring jobs forward: %w", err)
	}
	if jobs > 0 {
		c.config.Log.WarnContext(ctx, "jobs_brought_forward", slog.Int64("jobs", jobs))
	}
	return nil
}

// now is the time by which jobs are due; nil: by PostgreSQL's clock.
func (c *Client) now() *time.Time {
	if c.config.Now == nil {
		return nil
	}
	return clock(c.config.Now).NowOrNil()
}

// rescue runs one sweep and returns the clients to suspect.
func (c *Client) rescue(ctx context.Context, suspects []string) (next []string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout, errors.New("PostgreSQL does not answer"))
	defer cancel()
	var rescued, requests int64
	err = c.config.Pool.QueryRow(ctx, rescueJobs, c.held.clientID, c.held.atWork(), suspects, StuckAfter, Timeout, c.now()).Scan(&rescued, &next, &requests)
	if err != nil {
		return nil, fmt.Errorf("rescue jobs: %w", err)
	}
	if rescued+requests > 0 {
		c.config.Log.WarnContext(ctx, "jobs_rescued", slog.Int64("orphaned", rescued), slog.Int64("missing", requests))
	}
	return next, nil
}
