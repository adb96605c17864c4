// Package doctor diagnoses a server, its control database and the databases of its projects, and
// says for each fault what to do next. It changes nothing. A check is one function that checks one
// thing; checks.go lists them in the order in which doctor prints them. To add one, write
// check_NAME.go and add a line there.
//
// It keeps nothing: a doctor that dies is started again.
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

// Result is the result of a check: one line of doctor's output.
type Result struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Next   string `json:"next_step,omitempty"`
}

// Fault is a problem and its remedy.
type Fault struct {
	What string
	// Next is the next step, preferably a command that can be copied.
	Next string
	// Warning means that it is worth knowing but does not make doctor fail.
	Warning bool
	// Note means that the problem is over but worth mentioning.
	Note bool
}

// Config configures a run of doctor.
type Config struct {
	Now func() time.Time
	// Server returns the URL of the server and the API key. The URL is returned with an error if
	// only the key is unknown.
	Server func() (url string, key config.Secret, err error)
	// Database returns the URL of the control database.
	Database func() (config.Secret, error)
	// Open opens the control database with the encryption key.
	Open func(ctx context.Context) (*app.Control, error)
	// Unlimited means that the settings of the servers, as far as they are known here, have no limit of the size of the control
	// database; nil: they are not known.
	Unlimited *bool
	// Report receives each result as soon as it is known. If it returns an error, the run ends.
	Report func(Result) error
}

// patience limits one check, so that a hanging one does not prevent the others.
const patience = 10 * time.Second

// Control is what the checks of the control database use.
type Control struct {
	Now  func() time.Time
	Pool *pgxpool.Pool
	// Store is nil if the encryption key cannot be used. Checks of projects always have it.
	Store *project.Store
}

// Project is what the checks of one project use.
type Project struct {
	*Control
	project.Project

	// URL is the connection URL of the project's database.
	URL          string
	Integrations []project.Integration
}

// Run runs all checks. The error is one of Report, or of ctx; a check that found something, or
// could not run, is a result.
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
	if err := e.size(); err != nil {
		return err
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

// withoutKey runs the checks that need no encryption key.
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

// inside runs the checks of the control database, which need no key.
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

// tell reports a check's faults. A check that could not run is a fault, too.
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
