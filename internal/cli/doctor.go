package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/schema"
)

func (s *session) newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with the server and its databases",
		Long: `Checks, a line each: that the server answers and is ready; that the control
database can be reached, its schema is current and its clock is right; that the
encryption key opens what is sealed; that no job or delivery is stuck; that each
destination gets its deliveries; and for each project that its database can be
reached and its mirror is current. It changes nothing. The exit status is 0 only if
all is well.`,
		Example: "  authsync doctor",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{session: s}
			if err := d.examine(cmd.Context()); err != nil {
				return err
			}
			return s.finish(d.checks)
		},
	}
}

// maxSkew is how far clocks may be apart: half of what signatures with a time
// in them tolerate least.
const maxSkew = 30 * time.Second

// doctorPatience bounds one check that talks to something.
const doctorPatience = 10 * time.Second

// doctor is one run of doctor. Its methods return an error only if the result
// cannot be printed.
type doctor struct {
	*session

	checks []check
}

func (d *doctor) note(name string, problem error, fine string) error {
	c := check{Check: name, OK: problem == nil, Got: fine}
	if problem != nil {
		c.Got = oneLine(problem.Error())
	}
	d.checks = append(d.checks, c)
	return d.printCheck(c)
}

func (d *doctor) examine(ctx context.Context) error {
	if err := d.server(ctx); err != nil {
		return err
	}
	url, err := d.database()
	if err != nil {
		return d.note("control database", err, "")
	}
	status, err := schema.Status(ctx, url.Reveal(), schema.Control)
	if err := d.note("control database", err, pgdb.SafeURL(url.Reveal())); err != nil || status.Database == "" {
		return err
	}
	state := describe(status)
	var behind error
	if state.State != "current" {
		behind = fmt.Errorf("schema authsync is %s (version %d, this binary needs %d): authsync migrate status tells more",
			state.State, state.Version, state.Latest)
	}
	if err := d.note("control schema", behind, fmt.Sprintf("version %d, River %d", state.Version, state.RiverVersion)); err != nil || behind != nil {
		return err
	}
	control, err := d.control(ctx)
	if err != nil {
		return d.note("encryption key", err, "")
	}
	err = d.inside(ctx, control)
	return closeControl(ctx, control, err)
}

func (d *doctor) server(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	url, err := d.serverURL()
	if err != nil {
		return d.note("server", err, "")
	}
	c := client.New(url, "")
	defer c.Close()
	ready, err := c.Ready(ctx)
	if err == nil {
		var not []string
		for part, state := range ready.Parts {
			if state != "ok" {
				not = append(not, part+" "+state)
			}
		}
		if len(not) > 0 {
			err = errors.New("is not ready: " + strings.Join(not, "; "))
		}
	}
	if err := d.note("server", err, url+" is ready"); err != nil {
		return err
	}
	_, _, err = d.session.server()
	if err == nil {
		var api *client.Client
		if api, err = d.client(); err == nil {
			_, err = api.Projects(ctx)
		}
	}
	if client.Status(err) == http.StatusForbidden {
		err = nil // a key of one project is a good key
	}
	return d.note("API key", err, "is good")
}

// inside looks into the control database.
func (d *doctor) inside(ctx context.Context, control *app.Control) error {
	for _, look := range []struct {
		name  string
		query string // gives how many there are of what should not be
		fine  string
		wrong string
	}{
		{
			"jobs", `SELECT count(*) FROM authsync.stuck_jobs`,
			"none is stuck", "%d should have moved on: SELECT * FROM authsync.stuck_jobs",
		},
		{
			"failed events", `SELECT count(*) FROM authsync.event_failures`,
			"there are none", "%d wait for a repair: SELECT * FROM authsync.event_failures",
		},
		{
			"deliveries", `SELECT count(*) FROM authsync.deliveries WHERE state = 'failed'`,
			"none was given up", "%d were given up: authsync deliveries list PROJECT --state failed says why, authsync deliveries retry tries them again",
		},
		{
			"inbox partitions", `SELECT count(*) FROM authsync.inbox_default`,
			"each day has its own", "%d deliveries are in none of a day: a worker must run to make them (AUTHSYNC_ROLES)",
		},
	} {
		found, err := collectColumn[int](ctx, control.Pool, look.query)
		if err == nil && found[0] > 0 {
			err = fmt.Errorf(look.wrong, found[0])
		}
		if err := d.note(look.name, err, look.fine); err != nil {
			return err
		}
	}
	if err := d.destinations(ctx, control); err != nil {
		return err
	}
	before := d.Now()
	theirs, err := collectColumn[time.Time](ctx, control.Pool, `SELECT clock_timestamp()`)
	after := d.Now()
	if err == nil {
		middle := before.Add(after.Sub(before) / 2)
		if skew := theirs[0].Sub(middle).Abs(); skew > maxSkew {
			err = fmt.Errorf("the database's clock and this machine's are %s apart: run NTP on both", skew.Round(time.Second))
		}
	}
	if err := d.note("clocks", err, "this machine and the database agree"); err != nil {
		return err
	}
	return d.projects(ctx, control)
}

// selectTroubled lists the destinations that authsync stopped by itself, and those that
// have failed for so long that it is no passing trouble. What a person paused is meant.
const selectTroubled = `
	SELECT format('%s of project %s %s', d.name, p.name,
	           CASE WHEN d.state = 'active' THEN 'fails since ' || to_char(f.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
	                ELSE 'is ' || d.state || coalesce(': ' || d.state_reason, '') END)
	FROM authsync.destinations AS d
	JOIN authsync.projects AS p ON p.id = d.project_id
	LEFT JOIN authsync.destination_flows AS f ON f.destination_id = d.id
	WHERE (d.state <> 'active' AND d.state_by = 'authsync')
	   OR (d.state = 'active' AND f.failing_since < now() - interval '10 minutes')
	ORDER BY p.name, d.name`

// maxTroubled is how many destinations doctor names.
const maxTroubled = 5

// destinations names those that do not get their deliveries.
func (d *doctor) destinations(ctx context.Context, control *app.Control) error {
	troubled, err := collectColumn[string](ctx, control.Pool, selectTroubled)
	if more := len(troubled) - maxTroubled; err == nil && more > 0 {
		troubled = append(troubled[:maxTroubled], fmt.Sprintf("and %d more", more))
	}
	if err == nil && len(troubled) > 0 {
		err = fmt.Errorf("%s: authsync destinations show tells more", strings.Join(troubled, "; "))
	}
	return d.note("destinations", err, "none is stopped or fails")
}

func (d *doctor) projects(ctx context.Context, control *app.Control) error {
	for cursor, more := "", true; more; more = cursor != "" {
		found, next, err := control.Store.ListProjects(ctx, nil, cursor, 100)
		if err != nil {
			return d.note("projects", err, "")
		}
		for _, p := range found {
			if err := d.project(ctx, control, p); err != nil {
				return err
			}
		}
		cursor = next
	}
	return nil
}

// project checks one project's mirror, with patience of its own: one that hangs
// must not keep the others from being looked at.
func (d *doctor) project(ctx context.Context, control *app.Control, p project.Project) error {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	name := "project " + p.Name
	url, err := control.Store.DatabaseURL(ctx, p.ID)
	if err != nil {
		return d.note(name, err, "")
	}
	integrations, err := control.Store.ListIntegrations(ctx, p.ID)
	if err != nil {
		return d.note(name, err, "")
	}
	for _, i := range integrations {
		if i.Fault != "" {
			return d.note(name, fmt.Errorf("%s: %s", i.Provider, i.Fault), "")
		}
	}
	status, err := schema.Status(ctx, url, schema.Project)
	if err == nil && len(integrations) > 0 && !status.UpToDate() {
		err = fmt.Errorf("its mirror is %s: the next event upgrades it, or any authsync integrations set", describe(status).State)
	}
	return d.note(name, err, pgdb.SafeURL(url))
}
