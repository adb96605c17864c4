package doctor

import (
	"context"
	"fmt"

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
	return schema.Read(ctx, conn, schema.Project)
}

// mirrorSchema looks whether the project's database answers and has the mirror of this binary.
func mirrorSchema(ctx context.Context, p *Project) ([]Fault, error) {
	state, err := p.mirrorState(ctx)
	if err != nil {
		return []Fault{{What: pgdb.Describe(err), Next: "check the database, or give another URL: authsync projects update " + p.Name + " --database-url-file FILE"}}, nil
	}
	if len(p.Integrations) == 0 || state.UpToDate() {
		return nil, nil
	}
	return []Fault{{
		What: "its mirror is " + state.Word(),
		Next: fmt.Sprintf("authsync integrations set %s %s upgrades it, as does the next event", p.Name, p.Integrations[0].Provider),
	}}, nil
}
