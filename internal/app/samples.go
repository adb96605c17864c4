package app

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

// samplesTimeout is how long the samples may take to become rows.
const samplesTimeout = 30 * time.Second

// samples are the events that the dev server sends itself on its first start: users of all
// providers, one of which changes and one is deleted.
func samples(now time.Time) []struct {
	Provider string
	provider.Sample
} {
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds-20) * time.Second) }
	type sample = struct {
		Provider string
		provider.Sample
	}
	return []sample{
		{provider.Auth0, provider.Sample{Type: "user.created", ID: "evt_demo_1", UserID: "auth0|demo-ada", At: at(0), Set: map[string]any{
			"email": "ada@example.com", "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "nickname": "ada",
		}}},
		{provider.Auth0, provider.Sample{Type: "user.updated", ID: "evt_demo_2", UserID: "auth0|demo-ada", At: at(5), Set: map[string]any{
			"email": "ada.lovelace@example.com", "name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "nickname": "ada",
		}}},
		{provider.Clerk, provider.Sample{Type: "user.created", ID: "msg_demo_1", UserID: "user_demo_katherine", At: at(1), Set: map[string]any{
			"email": "katherine@example.com", "first_name": "Katherine", "last_name": "Johnson", "username": "katherine",
		}}},
		{provider.Clerk, provider.Sample{Type: "user.created", ID: "msg_demo_2", UserID: "user_demo_charles", At: at(2), Set: map[string]any{
			"email": "charles@example.com", "first_name": "Charles", "last_name": "Babbage", "username": "charles",
		}}},
		{provider.Clerk, provider.Sample{Type: "user.deleted", ID: "msg_demo_3", UserID: "user_demo_charles", At: at(6)}},
		{provider.BetterAuth, provider.Sample{Type: "user.created", ID: "msg_demo_4", UserID: "demo-mary", At: at(3), Set: map[string]any{
			"email": "mary@example.com", "name": "Mary Somerville", "username": "mary",
		}}},
	}
}

// DemoUser is a row of the demo project's mirror.
type DemoUser struct {
	ID        string
	Provider  string
	Email     *string
	FirstName *string
	LastName  *string
	DeletedAt *time.Time
}

// SendSamples sends the samples to the server's own receiver, as the providers would, and returns
// the resulting rows. If the mirror already has users, or the demo provider runs, which would not
// know these users, it sends nothing and returns none.
func (d *Dev) SendSamples(ctx context.Context) ([]DemoUser, error) {
	if d.DemoProvider != "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, samplesTimeout, fmt.Errorf("the samples were sent but did not become rows within %s", samplesTimeout))
	defer cancel()
	conn, err := pgx.Connect(ctx, d.Connection.DemoDatabaseURL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("connect to the demo project's database: %w", pgdb.Redact(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var users int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM capydb_auth.users`).Scan(&users); err != nil {
		return nil, fmt.Errorf("count the users of the demo project: %w", err)
	}
	if users > 0 {
		return nil, nil
	}
	d.progress("sending signed events of all providers to the demo project")
	to := client.New(d.Connection.URL, "")
	defer to.Close()
	all := samples(time.Now())
	for _, s := range all {
		if err := d.sendSample(ctx, to, s.Provider, s.Sample); err != nil {
			return nil, fmt.Errorf("send sample %s of %s: %w", s.Type, s.Provider, err)
		}
	}
	if err := d.awaitOutcomes(ctx, d.Demo.ID, len(all)); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `
		SELECT id, provider, email, first_name, last_name, deleted_at
		FROM capydb_auth.users ORDER BY provider, id`)
	if err != nil {
		return nil, fmt.Errorf("read the users of the demo project: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DemoUser])
}

func (d *Dev) sendSample(ctx context.Context, to *client.Client, providerName string, s provider.Sample) error {
	kind, err := registry.Lookup(providerName)
	if err != nil {
		return err
	}
	credentials, options, err := d.App.Store.Credentials(ctx, d.Demo.ID, providerName)
	if err != nil {
		return err
	}
	header, body, err := kind.Sign(s, credentials, options, time.Now())
	if err != nil {
		return err
	}
	return to.Deliver(ctx, providerName, d.Demo.ID.String(), header, body)
}

// awaitOutcomes returns once so many events of the project have an outcome.
func (d *Dev) awaitOutcomes(ctx context.Context, projectID uuid.UUID, events int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var done int
		err := d.App.pool.QueryRow(ctx,
			`SELECT count(*) FROM authsync.event_outcomes WHERE project_id = $1 AND outcome <> 'failed'`, projectID).Scan(&done)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("count outcomes: %w", err)
		case done >= events:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
