package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
)

// credentials looks whether those of each integration can be opened.
func credentials(_ context.Context, p *Project) (faults []Fault, _ error) {
	for _, i := range p.Integrations {
		if i.Fault != "" {
			faults = append(faults, Fault{
				What: fmt.Sprintf("%s: %s", i.Provider, i.Fault),
				Next: fmt.Sprintf("set AUTHSYNC_ENCRYPTION_KEY to the key that sealed them, or store them anew: authsync integrations set %s %s", p.Name, i.Provider),
			})
		}
	}
	return faults, nil
}

// mirrorState reads which mirror is in the project's database.
func (p *Project) mirrorState(ctx context.Context) (schema.State, error) {
	conn, err := p.Store.Tenants().Connect(ctx, p.URL, pgdb.Options{ApplicationName: "authsync doctor", Project: p.ID})
	if err != nil {
		return schema.State{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return schema.Inspect(ctx, conn, schema.Project)
}

// mirrorSchema looks whether the project's database answers and has the mirror of this binary.
func mirrorSchema(ctx context.Context, p *Project) ([]Fault, error) {
	state, err := p.mirrorState(ctx)
	if err != nil {
		return []Fault{{What: pgdb.Describe(err), Next: "check the database, or give another URL: authsync projects update " + p.Name + " --database-url-file FILE"}}, nil
	}
	if len(p.Integrations) == 0 { // it gets its mirror with the first one
		if err := state.Refused(); err != nil {
			return []Fault{{What: err.Error(), Next: "give the URL of another database: authsync projects update " + p.Name + " --database-url-file FILE"}}, nil //nolint:nilerr // the fault has it
		}
		return nil, nil
	}
	repair := fmt.Sprintf("authsync integrations set %s %s", p.Name, p.Integrations[0].Provider)
	if !state.Installed() {
		return []Fault{{
			What: "its database has no mirror (schema capydb_auth): it was dropped, or the URL leads to another database",
			Next: fmt.Sprintf("restore the database from a backup, or %s, which makes the mirror anew; then authsync events replay %s fills it, and a backfill",
				repair, p.Name),
		}}, nil
	}
	if faults := schemaFaults(state, repair); len(faults) > 0 {
		return faults, nil
	}
	return madeAnew(ctx, p, state)
}

const (
	// selectApplied gives the newest events that were applied before a time.
	selectApplied = `
		SELECT i.provider, o.event_id
		FROM authsync.inbox AS i
		JOIN authsync.event_outcomes AS o ON o.inbox_id = i.id AND o.received_at = i.received_at
		WHERE i.project_id = $1 AND i.received_at < $2 AND o.outcome = 'applied' AND o.applied_at < $2 AND o.event_id IS NOT NULL
		ORDER BY i.id DESC
		LIMIT 20`

	countUnknown = `
		SELECT count(*)
		FROM unnest($1::text[], $2::text[]) AS e (provider, event_id)
		WHERE (SELECT true FROM capydb_auth.processed_events AS p WHERE p.provider = e.provider AND p.event_id = e.event_id LIMIT 1) IS NULL`
)

// madeAnew looks whether the mirror was made, empty, after events had been applied: the schema was
// dropped, or the project has moved to a database without its users.
func madeAnew(ctx context.Context, p *Project, state schema.State) ([]Fault, error) {
	type event struct{ Provider, ID string }
	applied, err := collect[event](ctx, p.Control, selectApplied, p.ID, state.InstalledAt)
	if err != nil || len(applied) == 0 {
		return nil, err
	}
	var providers, ids []string
	for _, e := range applied {
		providers, ids = append(providers, e.Provider), append(ids, e.ID)
	}
	pool, err := pgdb.Open(ctx, p.URL, pgdb.Options{MaxConns: 1})
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var unknown int
	if err := pool.QueryRow(ctx, countUnknown, providers, ids).Scan(&unknown); err != nil || unknown == 0 {
		return nil, err
	}
	return []Fault{{
		What: fmt.Sprintf("its mirror was made anew at %s, empty: events that had been applied before are not in it",
			state.InstalledAt.UTC().Format(time.RFC3339)),
		Next: fmt.Sprintf("authsync events replay %s --all, and where the provider's credentials are known authsync backfill %[1]s %s",
			p.Name, p.Integrations[0].Provider),
	}}, nil
}
