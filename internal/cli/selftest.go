package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/selftest"
)

func (s *session) newSelfTest() *cobra.Command {
	return &cobra.Command{
		Use:   "self-test PROJECT PROVIDER",
		Short: "Send a synthetic user through the server, then roll it back",
		Long: `Sends signed events about a synthetic user to the running server, as the provider
would: created, updated, a late update, a duplicate, deleted, and an update from
before the deletion. For each it checks the event's outcome and the user's row.

Nobody else sees the user: a worker applies the events in the project database and
rolls the transaction back, so they leave no row, no entry in the change feed and no
delivery to a destination. The events are listed as ignored. Projects whose triggers
have effects that a rollback cannot undo are refused. The exit status is 0 only if
every check passed.

It needs the control database and its key: those of the dev server, otherwise
DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY.`,
		Example: "  authsync self-test demo clerk",
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
	v := &verifier{session: s, signer: g, control: control.Pool, begun: s.Now(), userID: selftest.NewUserID(g.kind.Name())}
	if v.id, err = uuid.Parse(g.projectID); err != nil {
		return err
	}
	databaseURL, err := control.Store.DatabaseURL(ctx, v.id)
	if err != nil {
		return err
	}
	if err := mirror.CheckRehearsable(ctx, control.Store.Tenants(), databaseURL); err != nil {
		return fmt.Errorf("no self-test in project %s: %w", projectName, err)
	}
	if err := v.run(ctx); err != nil {
		return sendError(err, projectName, g.kind.Name())
	}
	return s.finish(v.checks)
}

// verifyStep is one event and what must come of it.
type verifyStep struct {
	name   string
	sample provider.Sample
	want   selftest.Finding
}

// plan is the sequence of events of the synthetic user. All of it lies in the last seconds, so
// that no clock is from the future.
func (v *verifier) plan() []verifyStep {
	base := v.begun.Add(-10 * time.Second).Truncate(time.Millisecond)
	at := func(seconds int) time.Time { return base.Add(time.Duration(seconds) * time.Second) }
	sample := func(n int, kind string, when time.Time, set map[string]any) provider.Sample {
		return provider.Sample{Type: kind, ID: fmt.Sprintf("evt_selftest_%s_%d", v.userID[len(v.userID)-16:], n), UserID: v.userID, Set: set, At: when}
	}
	finding := func(outcome, email, firstName string, deleted bool) selftest.Finding {
		return selftest.Finding{Outcome: outcome, Row: selftest.Row{Exists: true, Email: email, FirstName: firstName, Deleted: deleted}}
	}
	const ada, augusta = "ada@example.com", "augusta@example.com"
	second, late := v.values("Augusta", augusta), v.values("Late", "late@example.com")
	update := sample(2, "user.updated", at(4), second)
	return []verifyStep{
		{"created: the row is there", sample(1, "user.created", at(0), v.values("Ada", ada)), finding("applied", ada, "Ada", false)},
		{"updated: the row has the new values", update, finding("applied", augusta, "Augusta", false)},
		{"an update that comes late changes nothing", sample(3, "user.updated", at(2), late), finding("stale", augusta, "Augusta", false)},
		{"a repetition changes nothing", update, finding("duplicate", augusta, "Augusta", false)},
		{"deleted: the row stays and says so", sample(4, "user.deleted", at(6), second), finding("applied", augusta, "Augusta", true)},
		{"an update from before the deletion does not undo it", sample(5, "user.updated", at(3), late), finding("stale", augusta, "Augusta", true)},
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
		got, err := v.await(ctx, i)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		c := check{Check: step.name, OK: got == step.want.String(), Expected: step.want.String(), Got: got}
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

const selectOutcomes = `
	SELECT e.outcome, coalesce(e.reason, '')
	FROM authsync.event_outcomes AS e
	WHERE e.project_id = $1 AND e.user_id = $2 AND e.received_at > $3
	ORDER BY e.inbox_id
	OFFSET $4 LIMIT 1`

// await returns what happened to the n-th event, from 0, once it is known.
func (v *verifier) await(ctx context.Context, n int) (string, error) {
	type outcome struct{ Outcome, Reason string }
	ctx, cancel := context.WithTimeoutCause(ctx, waitForOutcome,
		fmt.Errorf("the server accepted the event, but it had no outcome within %s: authsync doctor may tell why", waitForOutcome))
	defer cancel()
	found, err := poll(ctx, func() (outcome, bool, error) {
		// An hour, whatever the clocks of server and command say.
		rows, err := collectRows[outcome](ctx, v.control, selectOutcomes, v.id, v.userID, v.begun.Add(-time.Hour), n)
		if err != nil || len(rows) == 0 {
			return outcome{}, false, err
		}
		return rows[0], true, nil
	})
	if err != nil {
		return "", err
	}
	text, rolledBack := selftest.Said(found.Reason)
	if !rolledBack {
		return "", fmt.Errorf("the event became %s (%s) rather than being rolled back: a worker of another version applied it. "+
			"Run one version everywhere, and remove user %s from the mirror", found.Outcome, orDash(found.Reason), v.userID)
	}
	return text, nil
}

func collectColumn[T any](ctx context.Context, pool *pgxpool.Pool, query string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

func collectRows[T any](ctx context.Context, pool *pgxpool.Pool, query string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
