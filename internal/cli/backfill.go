package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

// How a backfill is followed.
const (
	pollTerminal = 500 * time.Millisecond
	pollPlain    = time.Second
	// plainEvery is how often a line is written where no terminal is.
	plainEvery = 10 * time.Second
	// serverAway is for how long the server may be away while it is followed.
	serverAway = time.Minute
)

func (s *session) newBackfill() *cobra.Command {
	var noWait, status, cancel bool
	cmd := &cobra.Command{
		Use:   "backfill PROJECT PROVIDER",
		Short: "Read all users of a provider into the mirror",
		Long: `Starts a backfill, or attaches to the one that runs, and shows how far it is. The
server does the work: Ctrl-C leaves it running, and the same command attaches to it
again. Webhooks go on meanwhile, and newer data is never overwritten.

The credentials for reading users must be stored: secret_key for Clerk; domain,
client_id and client_secret for Auth0; session_token and option base_url, or option
source, for Better Auth.`,
		Example: "  authsync backfill shop clerk\n" +
			"  authsync backfill shop auth0 --no-wait\n" +
			"  authsync backfill shop auth0 --status --json",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := provider.ParseName(args[1])
			if err != nil {
				return usageError{err}
			}
			if (noWait && status) || (noWait && cancel) || (status && cancel) {
				return usagef("give one of --no-wait, --status and --cancel")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			f := follower{session: s, client: c, project: args[0], provider: name}
			switch {
			case status:
				return f.once(c.Backfill(cmd.Context(), args[0], name))
			case cancel:
				return f.once(c.CancelBackfill(cmd.Context(), args[0], name))
			}
			run, err := f.start(cmd.Context())
			if err != nil {
				return err
			}
			if noWait {
				return f.once(run, nil)
			}
			return f.follow(cmd.Context(), run)
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "start it and return at once")
	cmd.Flags().BoolVar(&status, "status", false, "show how far the newest one is, and start none")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "cancel the one that runs; what it read stays")
	return cmd
}

// follower shows a backfill until it has ended.
type follower struct {
	*session

	client            *client.Client
	project, provider string
}

// start starts a backfill, or finds the one that is in the way.
func (f *follower) start(ctx context.Context) (client.Backfill, error) {
	run, err := f.client.StartBackfill(ctx, f.project, f.provider)
	if client.Status(err) != http.StatusConflict {
		return run, err
	}
	if run, err = f.client.Backfill(ctx, f.project, f.provider); err != nil {
		return run, err
	}
	return run, f.notice("A backfill is %s already, since %s: this is how far it is.", run.State, clock(run.StartedAt))
}

// once shows a backfill as it is.
func (f *follower) once(run client.Backfill, err error) error {
	if err != nil {
		return err
	}
	if f.json {
		return f.printJSON(run)
	}
	return f.printf("%s\n", progress(run, 0))
}

// follow shows a backfill until it has ended, or ctx does.
func (f *follower) follow(ctx context.Context, run client.Backfill) error {
	show, poll := f.plain(), pollPlain
	if columns, ok := f.terminal(); ok && !f.json {
		show, poll = f.bar(columns), pollTerminal
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for answered := f.Now(); run.FinishedAt == nil; {
		if err := show(run); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return f.left()
		case <-ticker.C:
		}
		next, err := f.client.Backfill(ctx, f.project, f.provider)
		switch {
		case err == nil:
			run, answered = next, f.Now()
		case ctx.Err() != nil:
			return f.left()
		case client.Status(err) != 0 && client.Status(err) != http.StatusServiceUnavailable, f.Now().Sub(answered) > serverAway:
			return err
		}
	}
	if err := show(run); err != nil {
		return err
	}
	return f.ended(run)
}

// left says what becomes of a backfill that nobody looks at.
func (f *follower) left() error {
	again := "authsync backfill " + f.project + " " + f.provider
	if err := f.notice("\nThe backfill goes on without this command. To look again: %s. To end it: %s --cancel", again, again); err != nil {
		return err
	}
	return errReported
}

// ended says how it ended. Entries that are not in the mirror are no success.
func (f *follower) ended(run client.Backfill) error {
	if f.json {
		if err := f.printJSON(run); err != nil {
			return err
		}
	} else if err := f.report(run); err != nil {
		return err
	}
	if run.State != "done" || run.Failed > 0 {
		return errReported
	}
	return nil
}

func (f *follower) report(run client.Backfill) error {
	for _, note := range run.Report.Notes {
		if err := f.notice("Note: %s.", printable(note)); err != nil {
			return err
		}
	}
	if len(run.Report.Bad) > 0 {
		t := table{head: []string{"NOT IN THE MIRROR", "REASON"}}
		for _, bad := range run.Report.Bad {
			t.add(bad.Place, bad.Reason)
		}
		if err := f.print(t); err != nil {
			return err
		}
	}
	took := run.FinishedAt.Sub(run.StartedAt).Round(time.Second)
	switch run.State {
	case "done":
		return f.printf("Done in %s: %s users read, %s new or changed, %s unchanged, %s failed.\n",
			took, thousands(run.Read), thousands(run.Applied), thousands(run.Unchanged), thousands(run.Failed))
	case "cancelled":
		return f.notice("The backfill was cancelled; the %s users it had read stay in the mirror.", thousands(run.Read))
	default:
		reason := ""
		if run.Error != nil {
			reason = printable(*run.Error)
		}
		return f.notice("authsync: the backfill has failed after %s users: %s", thousands(run.Read), reason)
	}
}
