package configfile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/project"
)

// Load reads what a server has: the projects of these names or ids, or all. References are in place of the secrets that
// are set. notes are sentences for the reader of the file.
func Load(ctx context.Context, c *client.Client, names []string) (f File, notes []string, err error) {
	var projects []client.Project
	if len(names) == 0 {
		if projects, err = c.Projects(ctx); err != nil {
			return File{}, nil, err
		}
	}
	for _, name := range names {
		p, err := c.Project(ctx, name)
		if err != nil {
			return File{}, nil, fmt.Errorf("project %.80s: %w", name, err)
		}
		projects = append(projects, p)
	}
	return load(ctx, c, projects)
}

// LoadFor reads what a server has of a file's projects, and the names of the others.
func LoadFor(ctx context.Context, c *client.Client, file File) (File, error) {
	all, err := c.Projects(ctx)
	if err != nil {
		return File{}, err
	}
	others := map[string]Project{}
	projects := slices.DeleteFunc(all, func(p client.Project) bool {
		_, named := file.Projects[p.Name]
		if !named {
			others[p.Name] = Project{}
		}
		return !named
	})
	f, _, err := load(ctx, c, projects)
	if err == nil {
		maps.Copy(f.Projects, others)
	}
	return f, err
}

func load(ctx context.Context, c *client.Client, projects []client.Project) (f File, notes []string, err error) {
	slices.SortFunc(projects, func(a, b client.Project) int { return cmp.Compare(a.Name, b.Name) })
	l := loader{variables: map[string]bool{}}
	f = File{Version: Version, Projects: map[string]Project{}}
	for _, p := range slices.CompactFunc(projects, func(a, b client.Project) bool { return a.ID == b.ID }) {
		if f.Projects[p.Name], err = l.project(ctx, c, p); err != nil {
			return File{}, nil, fmt.Errorf("project %s: %w", p.Name, err)
		}
	}
	l.noteSources(f)
	return f, l.notes, nil
}

// loader gives every secret a variable of its own: of two that share one, the second would get the secret of the first.
type loader struct {
	variables map[string]bool
	notes     []string
}

func (l *loader) project(ctx context.Context, c *client.Client, p client.Project) (Project, error) {
	integrations, err := c.Integrations(ctx, p.ID)
	if err != nil {
		return Project{}, err
	}
	destinations, err := c.Destinations(ctx, p.ID)
	if err != nil {
		return Project{}, err
	}
	all := Project{
		CloneOf:      l.cloneOf(p),
		DatabaseURL:  l.reference(p.Name, "database_url"),
		Integrations: map[string]Integration{}, Destinations: map[string]Destination{}, KeepDays: keepOf(p.KeepDays),
	}
	for _, i := range integrations {
		if all.Integrations[i.Provider], err = l.integration(p.Name, i); err != nil {
			return Project{}, fmt.Errorf("integration %s: %w", i.Provider, err)
		}
	}
	for _, d := range destinations {
		if all.Destinations[d.Name], err = l.destination(p.Name, d); err != nil {
			return Project{}, fmt.Errorf("destination %s: %w", d.Name, err)
		}
	}
	return all, nil
}

// keepOf is nil where the project sets nothing.
func keepOf(k client.KeepDays) *KeepDays {
	days := func(n *int) int {
		if n == nil {
			return 0
		}
		return *n
	}
	if made := (KeepDays{days(k.Inbox), days(k.Ledger), days(k.Changes), days(k.Deliveries)}); made != (KeepDays{}) {
		return &made
	}
	return nil
}

func (l *loader) integration(projectName string, i client.Integration) (Integration, error) {
	options, err := parseObject(i.Options)
	if err != nil {
		return Integration{}, fmt.Errorf("read the options: %w", err)
	}
	made := Integration{Options: options, Credentials: map[string]Reference{}}
	if i.Fault != "" {
		l.note("integration %s of project %s: %s", i.Provider, projectName, i.Fault)
	}
	for _, name := range slices.Sorted(maps.Keys(i.Credentials)) {
		state := i.Credentials[name]
		if !state.Set {
			continue
		}
		made.Credentials[name] = *l.reference(projectName, i.Provider, name)
		if state.Count > 1 {
			l.note("%s of integration %s of project %s is %s secrets: give them one per line", name, i.Provider, projectName, strconv.Itoa(state.Count))
		}
	}
	return made, nil
}

func (l *loader) destination(projectName string, d client.Destination) (Destination, error) {
	options, err := parseObject(d.Options)
	if err != nil {
		return Destination{}, fmt.Errorf("read the options: %w", err)
	}
	made := Destination{
		Type: d.Type, Options: options, Secrets: map[string]Reference{},
		EventTypes: slices.Sorted(slices.Values(d.EventTypes)), Fields: slices.Sorted(slices.Values(d.Fields)),
	}
	if d.Condition != nil {
		made.Condition = *d.Condition
	}
	if d.Holdback != nil {
		made.Holdback = *d.Holdback
	}
	// What authsync paused is no setting: it ends when its cause does.
	if made.Paused = d.State == project.Paused && d.StateBy == project.ByPerson; made.Paused && d.StateReason != nil {
		made.PauseReason = *d.StateReason
	}
	if d.Fault != "" {
		l.note("destination %s of project %s: %s", d.Name, projectName, d.Fault)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		made.Secrets[name] = *l.reference(projectName, d.Name, name)
	}
	return made, nil
}

func (l *loader) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// reference names the variable after what the secret is of, such as SHOP_CLERK_SECRET_KEY.
func (l *loader) reference(of ...string) *Reference {
	name := strings.ToUpper(strings.NewReplacer("-", "_", ":", "_").Replace(strings.Join(of, "_")))
	// A variable cannot begin with a digit, and those of AUTHSYNC_ are authsync's own: a destination "key" of a project
	// "authsync_api" must not be sent the API key of who applies the file.
	if name[0] >= '0' && name[0] <= '9' || strings.HasPrefix(name, "AUTHSYNC_") {
		name = "PROJECT_" + name
	}
	unique := name
	for n := 2; l.variables[unique]; n++ {
		unique = name + "_" + strconv.Itoa(n)
	}
	l.variables[unique] = true
	return &Reference{Env: unique}
}
