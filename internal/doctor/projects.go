package doctor

import (
	"context"
	"fmt"
)

// pageOfProjects is the number of projects read at once.
const pageOfProjects = 100

// projects runs the checks of each project.
func (e *examination) projects(ctx context.Context, c *Control) error {
	for cursor, more := "", true; more; more = cursor != "" {
		found, next, err := c.Store.ListProjects(ctx, nil, cursor, pageOfProjects)
		if err != nil {
			return e.tell("projects", "", nil, err)
		}
		for _, p := range found {
			if err := e.project(ctx, &Project{Control: c, Project: p}); err != nil {
				return err
			}
		}
		cursor = next
	}
	return nil
}

// project runs the checks of one project; it prints one line if there are no faults.
func (e *examination) project(ctx context.Context, p *Project) error {
	name := "project " + p.Name
	faults, err := bounded(ctx, func(ctx context.Context) ([]Fault, error) { return openProject(ctx, p) })
	for _, check := range projectChecks() {
		if err != nil || len(faults) > 0 && p.URL == "" {
			break
		}
		var more []Fault
		more, err = bounded(ctx, func(ctx context.Context) ([]Fault, error) { return check.look(ctx, p) })
		if err != nil {
			err = fmt.Errorf("%s: %w", check.name, err)
		}
		faults = append(faults, more...)
	}
	return e.tell(name, p.Database, faults, err)
}

// openProject reads what the checks need.
func openProject(ctx context.Context, p *Project) (faults []Fault, err error) {
	if p.Integrations, err = p.Store.ListIntegrations(ctx, p.ID); err != nil {
		return nil, err
	}
	if p.URL, err = p.Store.DatabaseURL(ctx, p.ID); err != nil {
		return []Fault{{ //nolint:nilerr // the fault has it
			What: err.Error(),
			Next: "set AUTHSYNC_ENCRYPTION_KEY to the key that sealed it, or store it anew: authsync projects update " + p.Name + " --database-url-file FILE",
		}}, nil
	}
	return nil, nil
}
