package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify PROJECT PROVIDER",
		Short: "Run a made-up user through the server and check the rows",
		Long: `Sends signed events about a made-up user to the running server, as the provider
would: created, updated, an update that comes late, a repetition, deleted, and an
update from before the deletion. After each it waits for the outcome and compares
the user's row in the project database with what it should be.

It leaves no trace: the user's rows and the deliveries are removed again, also
when a check fails or on Ctrl-C. The exit status is 0 only if every check passed.

It needs the control database and its key: those of the dev server, else
DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY.`,
		Example: "  authsync verify demo clerk",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.verify(cmd.Context(), args[0], args[1])
		},
	}
}

// check is one line of verify's and doctor's output.
type check struct {
	Check    string `json:"check"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Got      string `json:"got,omitempty"`
}

func (s *session) printCheck(c check) error {
	if s.json {
		return nil // all at once in the end
	}
	switch {
	case c.OK && c.Got != "":
		return s.printf("ok      %s: %s\n", c.Check, printable(c.Got))
	case c.OK:
		return s.printf("ok      %s\n", c.Check)
	case c.Expected == "":
		return s.printf("not ok  %s: %s\n", c.Check, printable(c.Got))
	default:
		return s.printf("not ok  %s: expected %s, got %s\n", c.Check, printable(c.Expected), printable(c.Got))
	}
}

// finish prints the checks for --json and turns them into the command's success.
func (s *session) finish(checks []check) error {
	failed := 0
	for _, c := range checks {
		if !c.OK {
			failed++
		}
	}
	if s.json {
		if err := s.printJSON(checks); err != nil {
			return err
		}
	} else if err := s.printf("%d of %d checks passed.\n", len(checks)-failed, len(checks)); err != nil {
		return err
	}
	if failed > 0 {
		return errReported
	}
	return nil
}

// verifier is one run of verify.
type verifier struct {
	*session

	signer  *signer
	control *pgxpool.Pool
	project *pgxpool.Pool
	id      uuid.UUID
	userID  string
	begun   time.Time
	checks  []check
}

func (s *session) verify(ctx context.Context, projectName, providerName string) (err error) {
	control, err := s.control(ctx)
	if err != nil {
		return err
	}
	defer func() { err = closeControl(ctx, control, err) }()
	g, err := s.newSigner(ctx, control, projectName, providerName)
	if err != nil {
		return err
	}
	v := &verifier{session: s, signer: g, control: control.Pool, begun: s.Now()}
	if v.id, err = uuid.Parse(g.projectID); err != nil {
		return err
	}
	databaseURL, err := control.Store.DatabaseURL(ctx, v.id)
	if err != nil {
		return err
	}
	if v.project, err = pgdb.Open(ctx, databaseURL, pgdb.Options{MaxConns: 2}); err != nil {
		return err
	}
	defer v.project.Close()
	v.userID = "authsync_verify_" + provider.RandomHex(16)
	if g.kind.Name() == provider.Auth0 {
		v.userID = "auth0|" + v.userID
	}

	err = v.run(ctx)
	// Ctrl-C ends the checks, not the cleaning up.
	cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if cleaning := v.clean(cleanCtx); cleaning != nil {
		err = errors.Join(err, fmt.Errorf("remove the made-up user %s: %w", v.userID, cleaning))
	}
	if err != nil {
		return sendError(err, projectName, g.kind.Name())
	}
	return s.finish(v.checks)
}

// cleanTimeout bounds the removal of what verify left in two databases.
const cleanTimeout = 30 * time.Second

// row is what verify looks at of a user.
type row struct {
	Email     string
	FirstName string
	Deleted   bool
}

func (r row) String() string {
	return fmt.Sprintf("email %s, first_name %s, deleted %t", orDash(r.Email), orDash(r.FirstName), r.Deleted)
}

// verifyStep is one event and what must be true after it.
type verifyStep struct {
	name    string
	sample  provider.Sample
	outcome string
	row     row
}

// plan is the story of the made-up user. All of it lies in the last seconds, so
// that no clock is from the future.
func (v *verifier) plan() []verifyStep {
	base := v.begun.Add(-10 * time.Second).Truncate(time.Millisecond)
	at := func(seconds int) time.Time { return base.Add(time.Duration(seconds) * time.Second) }
	sample := func(n int, kind string, when time.Time, set map[string]any) provider.Sample {
		return provider.Sample{Type: kind, ID: fmt.Sprintf("evt_verify_%s_%d", v.userID[len(v.userID)-16:], n), UserID: v.userID, Set: set, At: when}
	}
	first := v.values("Ada", "ada@example.com")
	second := v.values("Augusta", "augusta@example.com")
	late := v.values("Late", "late@example.com")
	created := row{"ada@example.com", "Ada", false}
	updated := row{"augusta@example.com", "Augusta", false}
	deleted := row{"augusta@example.com", "Augusta", true}
	update := sample(2, "user.updated", at(4), second)
	return []verifyStep{
		{"created: the row is there", sample(1, "user.created", at(0), first), "applied", created},
		{"updated: the row has the new values", update, "applied", updated},
		{"an update that comes late changes nothing", sample(3, "user.updated", at(2), late), "stale", updated},
		{"a repetition changes nothing", update, "duplicate", updated},
		{"deleted: the row stays and says so", sample(4, "user.deleted", at(6), second), "applied", deleted},
		{"an update from before the deletion does not undo it", sample(5, "user.updated", at(3), late), "stale", deleted},
	}
}

// values are the same facts in the words of each provider.
func (v *verifier) values(first, email string) map[string]any {
	values := map[string]any{"email": email}
	switch v.signer.kind.Name() {
	case provider.Auth0:
		values["given_name"] = first
	case provider.Clerk:
		values["first_name"] = first
	default:
		values["name"] = first + " Verify"
	}
	return values
}

// run sends the events and compares. An error means that it could not go on;
// what was found wrong is in checks.
func (v *verifier) run(ctx context.Context) error {
	for i, step := range v.plan() {
		if _, err := v.signer.send(ctx, step.sample, v.Now()); err != nil {
			return err
		}
		got, err := v.await(ctx, i+1)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		r, err := v.read(ctx)
		if err != nil {
			return err
		}
		want := "outcome " + step.outcome + ", " + step.row.String()
		have := "outcome " + got + ", " + r.String()
		c := check{Check: step.name, OK: want == have, Expected: want, Got: have}
		if c.OK {
			c.Expected, c.Got = "", ""
		}
		v.checks = append(v.checks, c)
		if err := v.printCheck(c); err != nil {
			return err
		}
	}
	return nil
}

// The deliveries of the made-up user: nobody else's have its id in the body.
const ofUser = `
	FROM authsync.inbox AS i
	WHERE i.project_id = $1 AND i.received_at >= $2
	  AND position(convert_to($3, 'UTF8') IN i.body) > 0`

const selectOutcomes = `
	SELECT coalesce((SELECT e.outcome || CASE e.outcome WHEN 'failed' THEN ' (' || coalesce(e.reason, '') || ')' ELSE '' END
	                 FROM authsync.event_outcomes AS e
	                 WHERE e.inbox_id = i.id AND e.received_at = i.received_at
	                 ORDER BY e.ordinal LIMIT 1), '')` + ofUser + `
	ORDER BY i.id`

// since encloses the deliveries, whatever the clocks of server and command say.
func (v *verifier) since() time.Time { return v.begun.Add(-time.Hour) }

// await returns the outcome of the n-th event, once it is known.
func (v *verifier) await(ctx context.Context, n int) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, waitForOutcome,
		fmt.Errorf("the server took the event, but nothing became of it within %s: authsync doctor may tell why", waitForOutcome))
	defer cancel()
	return poll(ctx, func() (string, bool, error) {
		outcomes, err := collectColumn[string](ctx, v.control, selectOutcomes, v.id, v.since(), v.bodyText())
		if err != nil || len(outcomes) < n {
			return "", false, err
		}
		return outcomes[n-1], outcomes[n-1] != "", nil
	})
}

// bodyText is the user's id as it stands in a body of JSON.
func (v *verifier) bodyText() string { return v.userID[strings.LastIndex(v.userID, "|")+1:] }

func (v *verifier) read(ctx context.Context) (row, error) {
	const query = `
		SELECT coalesce(email, ''), coalesce(first_name, ''), deleted_at IS NOT NULL
		FROM capydb_auth.users WHERE id = $1`
	rows, err := collectRows[row](ctx, v.project, query, v.userID)
	if err != nil {
		return row{}, fmt.Errorf("read the user's row: %w", err)
	}
	if len(rows) == 0 {
		return row{Email: "(no row)"}, nil
	}
	return rows[0], nil
}
