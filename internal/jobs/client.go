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
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/redact"
)

const (
	// fetchCooldown is the least time between two looks for new jobs. River
	// wakes the workers by a notification; this is what is added to it.
	fetchCooldown = 2 * time.Millisecond
	// fetchPoll is how often to look when no notification came.
	fetchPoll = 500 * time.Millisecond
	// fetchPollOnly is the same where no notification can come.
	fetchPollOnly = 200 * time.Millisecond
	// keepCompleted is how long finished jobs stay to be looked at. The inbox
	// and authsync.events know more, and for longer.
	keepCompleted = time.Hour
	// riverRescues is when River's own rescuer would take a job, which rescue_jobs has long done.
	riverRescues = 24 * time.Hour
)

// Register adds workers and their queues to a client that is to be made.
type Register func(workers *river.Workers, queues map[string]river.QueueConfig)

// Config is what a Client needs.
type Config struct {
	Pool *pgxpool.Pool // the control database
	Log  *slog.Logger
	// Workers add what works the jobs.
	Workers []Register
	// Periodic are the jobs that come by themselves.
	Periodic []*river.PeriodicJob
	// Hooks hear of all jobs.
	Hooks []rivertype.Hook
	// Retention is how long jobs stay that failed or were cancelled: as long as the events
	// that they are about. 0: for ever.
	Retention time.Duration
	// FetchPoll is how often to look for jobs of which no notification came; 0: twice a second, with PollOnly five times.
	FetchPoll time.Duration
	// PollOnly: nothing can be listened for, since a pooler stands before the database.
	PollOnly bool
	// Now is the clock by which jobs become due; nil: PostgreSQL's.
	Now func() time.Time
}

// Client works the jobs. Beside Start and Stop it is River's.
type Client struct {
	*river.Client[pgx.Tx]

	config Config
	held   *held
	lock   lock

	stop  context.CancelFunc
	ended chan struct{}
}

// New makes a Client. It connects to nothing before Start.
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
		JobTimeout:           Timeout,
		RescueStuckJobsAfter: riverRescues,

		CompletedJobRetentionPeriod: keepCompleted,
		CancelledJobRetentionPeriod: keepEnded(config.Retention),
		DiscardedJobRetentionPeriod: keepEnded(config.Retention),

		PeriodicJobs: config.Periodic,
	}
	if config.Now != nil {
		settings.Test.Time = clock(config.Now)
	}
	var err error
	if c.Client, err = river.NewClient(newFence(config.Pool, c.held), settings); err != nil {
		return nil, fmt.Errorf("make the job client: %w", err)
	}
	return c, nil
}

// newClientID names the process where River and its UI show who took a job.
func newClientID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "authsync"
	}
	host = strings.ReplaceAll(host, ".", "_")
	return fmt.Sprintf("%s_%d_%s", host[:min(len(host), 60)], os.Getpid(), strings.ToLower(rand.Text()[:8]))
}

// keepEnded is how long River keeps a job that failed or was cancelled. To River, 0 is its own
// default of a day or a week, and -1 is for ever.
func keepEnded(retention time.Duration) time.Duration {
	if retention == 0 {
		return -1
	}
	return retention
}

// clock makes a function of time what River takes.
type clock func() time.Time

func (c clock) Now() time.Time { return c() }

func (c clock) NowOrNil() *time.Time {
	now := c()
	return &now
}

// Start takes the lock that says that this process lives, and begins to work. ctx ends the work;
// better is Stop.
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
	if err := c.Client.Start(ctx); err != nil {
		c.stopRescue()
		return fmt.Errorf("start the job client: %w", err)
	}
	return nil
}

// Stop lets the jobs at work end, until ctx ends; then their fate is unknown.
func (c *Client) Stop(ctx context.Context) error {
	err := c.Client.Stop(ctx)
	if err == nil {
		c.stopRescue()
	}
	return err
}

// StopAndCancel cuts the jobs at work off; they run again, here or elsewhere.
func (c *Client) StopAndCancel(ctx context.Context) error {
	err := c.Client.StopAndCancel(ctx)
	c.stopRescue()
	return err
}

// stopRescue gives the lock back: what is left running is rescued by others.
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		var err error
		if suspects, err = c.rescue(ctx, suspects); err != nil && ctx.Err() == nil {
			c.config.Log.WarnContext(ctx, "rescue_failed", slog.Any("error", err))
			suspects = []string{} // whoever seems dead now may only be cut off as we are
		}
	}
}

// rescue looks once, and returns the clients to suspect.
func (c *Client) rescue(ctx context.Context, suspects []string) (next []string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout, errors.New("PostgreSQL does not answer"))
	defer cancel()
	var now *time.Time
	if c.config.Now != nil {
		now = clock(c.config.Now).NowOrNil()
	}
	var rescued, requests int64
	err = c.config.Pool.QueryRow(ctx, rescueJobs, c.held.clientID, c.held.atWork(), suspects, StuckAfter, Timeout, now).Scan(&rescued, &next, &requests)
	if err != nil {
		return nil, fmt.Errorf("rescue jobs: %w", err)
	}
	if rescued+requests > 0 {
		c.config.Log.WarnContext(ctx, "jobs_rescued", slog.Int64("orphaned", rescued), slog.Int64("missing", requests))
	}
	return next, nil
}
