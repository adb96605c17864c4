package doctor

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
)

// credentials checks that each integration's credentials can be decrypted.
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

// mirrorState reads the state of the mirror in the project's database.
func (p *Project) mirrorState(ctx context.Context) (schema.State, error) {
	conn, err := p.Store.Tenants().Connect(ctx, p.URL, pgdb.Options{ApplicationName: "authsync doctor", Project: p.ID})
	if err != nil {
		return schema.State{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return schema.Inspect(ctx, conn, schema.Project)
}

// mirrorSchema checks that the project's database answers and has this binary's mirror.
func mirrorSchema(ctx context.Context, p *Project) ([]Fault, error) {
	state, err := p.mirrorState(ctx)
	if err != nil {
		return []Fault{{What: pgdb.Describe(err), Next: "check the database, or give another URL: authsync projects update " + p.Name + " --database-url-file FILE"}}, nil
	}
	providerName := "PROVIDER"
	if len(p.Integrations) > 0 {
		providerName = p.Integrations[0].Provider
	}
	repair := fmt.Sprintf("authsync integrations set %s %s", p.Name, providerName)
	if !state.Installed() {
		return []Fault{{
			What: "its database has no mirror (schema capydb_auth): it was dropped, or the URL leads to another database",
			Next: fmt.Sprintf("restore the database from a backup, or %s, which makes the mirror anew; what the inbox has is applied again by itself then", repair),
		}}, nil
	}
	return schemaFaults(state, repair), nil
}
