package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/seal"
)

// Errors of the Directory that no client caused: the answer is 503.
var (
	// ErrNotLoaded: the current contents of the control database are unknown, because it is
	// unreachable or has not been read yet. Try again.
	ErrNotLoaded = errors.New("projects and integrations cannot be looked up right now")
	// ErrUnusable: the stored integration or project cannot be decrypted or parsed. Such an error
	// is also ErrNotLoaded.
	ErrUnusable = errors.New("the stored configuration cannot be used")
)

// Endpoint is an integration, ready to verify and decode messages.
type Endpoint struct {
	ProjectID uuid.UUID
	Provider  provider.Provider
	Verifier  provider.Verifier
	Options   provider.Options
	// AccountMark names the account whose users the mirror has; empty if it is not known.
	AccountMark string
}

// DirectoryConfig configures a Directory. A zero duration gets the default in its comment.
type DirectoryConfig struct {
	Pool    *pgxpool.Pool // the control database
	Keyring *seal.Keyring
	Log     *slog.Logger
	// Keys finds for a project the public keys of providers that publish them; nil means that none can be had.
	Keys func(projectID uuid.UUID) provider.PublicKeys

	Interval time.Duration // between checks of the version: 300 ms
	MinGap   time.Duration // between forced checks: 100 ms
	Timeout  time.Duration // of a check, and of waiting for a forced one: 3 s
}

// Directory holds all projects and integrations in memory, with their verifiers, and follows the
// control database.
//
// Its contents are at most Interval plus one query old: every 300 ms it reads a version number that
// every change increments. It never denies anything from memory: on a miss, Lookup waits for a
// check that began after the call (shared by all waiters, at most one in MinGap), so that a webhook
// that arrives right after its integration was created is not rejected. While the control database
// is down it keeps serving what it has.
//
// It is safe for concurrent use; Run must be running.
type Directory struct {
	config DirectoryConfig
	state  atomic.Pointer[state] // nil until first loaded
	wake   chan struct{}         // tells Run that someone waits
	ended  chan struct{}         // closed when Run has returned

	mu   sync.Mutex
	next *look // the next one, not yet begun; nil if nobody waits
}

// look is one check of the control database, shared by its waiters.
type look struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewDirectory returns a Directory that is empty until Run runs.
func NewDirectory(c DirectoryConfig) (*Directory, error) {
	if c.Pool == nil || c.Keyring == nil || c.Log == nil {
		return nil, errors.New("project directory: pool, keyring and log must be given")
	}
	c.Interval = orDefault(c.Interval, 300*time.Millisecond)
	c.MinGap = orDefault(c.MinGap, 100*time.Millisecond)
	c.Timeout = orDefault(c.Timeout, 3*time.Second)
	return &Directory{config: c, wake: make(chan struct{}, 1), ended: make(chan struct{})}, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Lookup returns the integration of a project with a provider, by either spelling of the provider's
// name. Errors: ErrNoProject and ErrNoIntegration, which hold for a moment after the call;
// ErrUnusable, with an Endpoint that lacks only the verifier; ErrNotLoaded.
func (d *Directory) Lookup(ctx context.Context, projectID uuid.UUID, providerName string) (Endpoint, error) {
	return ask(ctx, d, func(s *state) (Endpoint, error) { return s.endpoint(projectID, providerName) })
}

// LookupFresh is Lookup as of a moment after the call. Use it before permanently rejecting a
// request because no secret matched: the secret may be half a second old.
func (d *Directory) LookupFresh(ctx context.Context, projectID uuid.UUID, providerName string) (Endpoint, error) {
	if err := d.nextLook(ctx); err != nil {
		return Endpoint{}, err
	}
	return d.state.Load().endpoint(projectID, providerName)
}

// Others returns the currently known usable integrations of a project with other providers, except those whose verifiers may
// wait for public keys: they are for requests that nobody has verified.
func (d *Directory) Others(projectID uuid.UUID, providerName string) []Endpoint {
	s := d.state.Load()
	if s == nil || s.projects[projectID] == nil {
		return nil
	}
	var others []Endpoint
	for name, i := range s.projects[projectID].integrations {
		if name != providerName && i.err == nil && !i.fetches {
			others = append(others, i.endpoint)
		}
	}
	return others
}

// Database returns the connection URL of a project's database, including the password. Errors:
// ErrNoProject, ErrUnusable, ErrNotLoaded, as for Lookup.
func (d *Directory) Database(ctx context.Context, projectID uuid.UUID) (string, error) {
	return ask(ctx, d, func(s *state) (string, error) { return s.database(projectID) })
}

// Options returns the options of an integration. Errors: ErrNoProject, ErrNoIntegration,
// ErrNotLoaded, as for Lookup.
func (d *Directory) Options(ctx context.Context, projectID uuid.UUID, providerName string) (provider.Options, error) {
	e, err := d.Lookup(ctx, projectID, providerName)
	if errors.Is(err, ErrUnusable) {
		return e.Options, nil
	}
	return e.Options, err
}

// Loaded reports whether the directory has been loaded at least once.
func (d *Directory) Loaded() bool { return d.state.Load() != nil }

// WaitLoaded returns once the directory has been loaded, or ErrNotLoaded.
func (d *Directory) WaitLoaded(ctx context.Context) error {
	if d.Loaded() {
		return nil
	}
	return d.nextLook(ctx)
}

// ask answers from memory, but answers "not found" only after a check that began after the call.
func ask[T any](ctx context.Context, d *Directory, question func(*state) (T, error)) (T, error) {
	if s := d.state.Load(); s != nil {
		answer, err := question(s)
		if !errors.Is(err, ErrNoProject) && !errors.Is(err, ErrNoIntegration) {
			return answer, err
		}
	}
	if err := d.nextLook(ctx); err != nil {
		var none T
		return none, err
	}
	return question(d.state.Load())
}

// nextLook waits for a check that begins after the call.
func (d *Directory) nextLook(ctx context.Context) error {
	d.mu.Lock()
	if d.next == nil {
		d.next = &look{done: make(chan struct{})}
		select {
		case d.wake <- struct{}{}:
		default: // Run has already been woken
		}
	}
	l := d.next
	d.mu.Unlock()

	// The check may wait for the current one before its own time starts.
	timeout := time.NewTimer(2*d.config.Timeout + d.config.MinGap)
	defer timeout.Stop()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotLoaded, context.Cause(ctx))
	case <-timeout.C:
		return fmt.Errorf("%w: no answer in time", ErrNotLoaded)
	case <-d.ended:
		return fmt.Errorf("%w: shutting down", ErrNotLoaded)
	}
}

// Run follows the control database until ctx ends, then returns nil.
func (d *Directory) Run(ctx context.Context) error {
	defer close(d.ended)
	poll := time.NewTimer(0)
	defer poll.Stop()
	failing := false
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		case <-d.wake:
			if pause.For(ctx, d.config.MinGap-time.Since(last)) != nil {
				return nil
			}
		}
		last = time.Now()
		err := d.lookNow(ctx)
		if ctx.Err() == nil && (err != nil) != failing {
			failing = err != nil
			d.logTurn(ctx, err)
		}
		poll.Reset(d.config.Interval)
	}
}

func (d *Directory) logTurn(ctx context.Context, err error) {
	if err != nil {
		d.config.Log.WarnContext(ctx, "directory_not_followed", slog.Any("error", err), slog.Bool("loaded", d.Loaded()))
		return
	}
	d.config.Log.InfoContext(ctx, "directory_follow_recovered")
}

// lookNow runs a check for everyone who waits: it begins after they called.
func (d *Directory) lookNow(ctx context.Context) error {
	d.mu.Lock()
	l := d.next
	d.next = nil
	d.mu.Unlock()

	err := d.refresh(ctx)
	if l != nil {
		if err != nil {
			l.err = fmt.Errorf("%w: %w", ErrNotLoaded, err)
		}
		close(l.done)
	}
	return err
}

const (
	selectVersion = `SELECT version FROM authsync.directory_version`

	selectStoredProjects = `
		SELECT id, database_url_sealed, erasure_key_sealed FROM authsync.projects`

	selectStoredIntegrations = `
		SELECT project_id, provider, credentials_sealed, options, account_mark FROM authsync.integrations`
)

// refresh reads the version and, if it changed, everything, in one snapshot. Only changed rows are
// decrypted again.
func (d *Directory) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.config.Timeout, errors.New("the control database did not answer in time"))
	defer cancel()

	known := d.state.Load()
	if known != nil {
		var version int64
		if err := d.config.Pool.QueryRow(ctx, selectVersion).Scan(&version); err != nil {
			return fmt.Errorf("read directory version: %w", err)
		}
		if version == known.version {
			return nil
		}
	}

	var version int64
	var projects []storedProject
	var integrations []storedIntegration
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, d.config.Pool, options, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, selectVersion).Scan(&version); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectStoredProjects)
		if err != nil {
			return err
		}
		if projects, err = pgx.CollectRows(rows, pgx.RowToStructByName[storedProject]); err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, selectStoredIntegrations); err != nil {
			return err
		}
		integrations, err = pgx.CollectRows(rows, pgx.RowToStructByName[storedIntegration])
		return err
	})
	if err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	d.state.Store(d.build(ctx, known, version, projects, integrations))
	return nil
}
