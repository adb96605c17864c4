// Package doctor looks for what is wrong with a server, its control database and the
// databases of its projects, and says for each fault what to do next. It changes nothing.
//
// It stands beside the road of a webhook. A check is one function that looks at one
// thing; checks.go lists them all, in the order in which doctor prints them. To add one,
// write check_NAME.go and add a line there.
package doctor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
)

// The statuses of a result.
const (
	OK      = "ok"
	Warning = "warning" // worth knowing, but nothing is lost or late
	Failed  = "failed"
)

// Result is what a check found: one line of doctor's output.
type Result struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Next   string `json:"next_step,omitempty"`
}

// Fault is one thing that is wrong, and what to do about it.
type Fault struct {
	What string
	// Next is the next step, best a command that can be copied.
	Next string
	// Warning: it is worth knowing, but does not make doctor fail.
	Warning bool
	// Note: nothing is wrong any more; it is said all the same.
	Note bool
}

// Config is what a run of doctor needs.
type Config struct {
	Now func() time.Time
	// Server gives the URL of the server and the key to show it. The URL comes with an
	// error where it is known and the key is not.
	Server func() (url string, key config.Secret, err error)
	// Database gives the URL of the control database.
	Database func() (config.Secret, error)
	// Open opens the control database with the encryption key.
	Open func(ctx context.Context) (*app.Control, error)
	// Report hears of each result as soon as it is known. An error of it ends the run.
	Report func(Result) error
}

// patience bounds one check: what hangs must not keep the rest from being looked at.
const patience = 10 * time.Second

// Control is what checks of the control database look at.
type Control struct {
	Now  func() time.Time
	Pool *pgxpool.Pool
	// Store is nil where the encryption key cannot be used. Only checks of projects have it for sure.
	Store *project.Store
}

// Project is what checks of one project look at.
type Project struct {
	*Control
	project.Project

	// URL is how to connect to the project's database.
	URL          string
	Integrations []project.Integration
}

// Run makes all checks. The error is one of Report, or of ctx; that a check found
// something, or could not be made, is a result.
func Run(ctx context.Context, c Config) error {
	e := &examination{Config: c}
	if err := e.server(ctx); err != nil {
		return err
	}
	url, usable, err := e.database(ctx)
	if err != nil || !usable {
		return err
	}
	control, opening := c.Open(ctx)
	if opening != nil {
		return e.withoutKey(ctx, url, opening)
	}
	inside := &Control{Now: c.Now, Pool: control.Pool, Store: control.Store}
	if err = e.inside(ctx, inside); err == nil {
		err = e.projects(ctx, inside)
	}
	if closing := control.Close(ctx); err == nil {
		err = closing
	}
	return err
}

// examination is one run of doctor.
type examination struct{ Config }

// withoutKey makes the checks that need no encryption key.
func (e *examination) withoutKey(ctx context.Context, url string, why error) error {
	err := e.fault("encryption key", Fault{What: why.Error(), Next: "set AUTHSYNC_ENCRYPTION_KEY to the key that the server uses; projects are checked then as well"})
	if err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, url, pgdb.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	defer pool.Close()
	return e.inside(ctx, &Control{Now: e.Now, Pool: pool})
}

// inside makes the checks of the control database, which need no key.
func (e *examination) inside(ctx context.Context, c *Control) error {
	for _, check := range controlChecks() {
		faults, err := bounded(ctx, func(ctx context.Context) ([]Fault, error) { return check.look(ctx, c) })
		if err := e.tell(check.name, check.fine, faults, err); err != nil {
			return err
		}
	}
	return nil
}

func bounded(ctx context.Context, look func(context.Context) ([]Fault, error)) ([]Fault, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return look(ctx)
}

// tell reports what a check found. A check that could not be made is a fault too.
func (e *examination) tell(name, fine string, faults []Fault, err error) error {
	if err != nil {
		faults = append(faults, Fault{What: "this could not be checked: " + err.Error(), Next: "see the error; then run authsync doctor again"})
	}
	if !slices.ContainsFunc(faults, func(f Fault) bool { return !f.Note }) {
		if err := e.Report(Result{Check: name, Status: OK, Found: fine}); err != nil {
			return err
		}
	}
	for _, f := range faults {
		if err := e.fault(name, f); err != nil {
			return err
		}
	}
	return nil
}

func (e *examination) fault(name string, f Fault) error {
	r := Result{Check: name, Status: Failed, Found: oneLine(f.What), Next: f.Next}
	switch {
	case f.Note:
		r.Status = OK
	case f.Warning:
		r.Status = Warning
	}
	return e.Report(r)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
