package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
)

// How a run is followed.
const (
	pollTerminal = 500 * time.Millisecond
	pollPlain    = time.Second
	// plainEvery is how often a line is written where no terminal is.
	plainEvery = 10 * time.Second
	// serverAway is for how long the server may be away while it is followed.
	serverAway = time.Minute
)

// following is what to do with a run.
type following struct{ noWait, status, cancel bool }

func (h *following) flags(cmd *cobra.Command, stays string) {
	cmd.Flags().BoolVar(&h.noWait, "no-wait", false, "start it and return immediately")
	cmd.Flags().BoolVar(&h.status, "status", false, "show the progress of the latest run without starting one")
	cmd.Flags().BoolVar(&h.cancel, "cancel", false, "cancel the running one; "+stays)
}

// run starts a run, or cancels or shows it, by the flags.
func (s *session) run(ctx context.Context, args []string, kind string, order *client.Order, how following) error {
	name, err := provider.ParseName(args[1])
	if err != nil {
		return usageError{err}
	}
	if (how.noWait && how.status) || (how.noWait && how.cancel) || (how.status && how.cancel) {
		return usagef("give one of --no-wait, --status and --cancel")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	f := follower{session: s, client: c, project: args[0], provider: name, kind: kind}
	switch {
	case how.status:
		return f.look(f.latest(ctx))
	case how.cancel:
		return f.once(c.CancelRun(ctx, args[0], name, kind))
	}
	run, err := f.start(ctx, order)
	if err != nil {
		return err
	}
	if how.noWait {
		return f.once(run, nil)
	}
	return f.follow(ctx, run)
}

// follower shows a run until it has ended.
type follower struct {
	*session

	client                  *client.Client
	project, provider, kind string
	noted                   int // notes shown already
	// attached: the run was started by something else, before this command.
	attached bool
	// isOther: and not in the way that this command asked for.
	isOther bool
}

// start starts a run, or finds the one of the same kind that is in the way.
func (f *follower) start(ctx context.Context, order *client.Order) (client.Run, error) {
	run, conflict := f.client.StartRun(ctx, f.project, f.provider, f.kind, order)
	if client.Status(conflict) != http.StatusConflict {
		return run, conflict
	}
	run, err := f.latest(ctx)
	switch {
	case client.Status(err) == http.StatusNotFound, err == nil && run.FinishedAt != nil:
		return run, f.otherRun(ctx, conflict)
	case err != nil:
		return run, err
	}
	f.attached = true
	as := ""
	if f.isOther = order != nil && (order.DryRun != run.DryRun || order.Force != run.Force); f.isOther {
		as = ", " + orderWords(run)
	}
	return run, f.notice("A %s is %s already, since %s%s: this command shows that one and starts none.", f.kind, run.State, clock(run.StartedAt), as)
}

// otherRun is the refusal of a run because one of the other kind is unfinished, with the commands for that one.
func (f *follower) otherRun(ctx context.Context, conflict error) error {
	refused, is := errors.AsType[*client.RefusedError](conflict)
	if !is || refused.Code != runUnfinished {
		return conflict
	}
	other := client.Backfill
	if f.kind == client.Backfill {
		other = client.Reconcile
	}
	there := follower{client: f.client, project: f.project, provider: f.provider, kind: other}
	if run, err := there.latest(ctx); err != nil || run.FinishedAt != nil {
		return conflict // it has ended meanwhile
	}
	what := *refused
	what.Detail = fmt.Sprintf("a %s of %s is unfinished, and only one run at a time reads from a provider: authsync %[1]s %[3]s %[4]s --status shows how far it is, "+
		"with --cancel it ends", other, provider.Title(f.provider), f.project, f.provider)
	return &what
}

// runUnfinished is the code of a refusal because of a run that has not ended.
const runUnfinished = "run_unfinished"

// orderWords describes how a run was started.
func orderWords(run client.Run) string {
	switch {
	case run.DryRun:
		return "with --dry-run"
	case run.Force:
		return "with --force"
	default:
		return "without --dry-run or --force"
	}
}

func (f *follower) latest(ctx context.Context) (client.Run, error) {
	return f.client.LatestRun(ctx, f.project, f.provider, f.kind)
}

// look shows how far a run is, and how it ended if it has.
func (f *follower) look(run client.Run, err error) error {
	if err := f.once(run, err); err != nil || f.json || run.FinishedAt == nil {
		return err
	}
	return f.report(run)
}

// once shows a run as it is.
func (f *follower) once(run client.Run, err error) error {
	if err != nil {
		return err
	}
	if f.json {
		return f.printJSON(run)
	}
	return f.printf("%s\n", progress(run, 0))
}

// follow shows a run until it has ended, or ctx does.
func (f *follower) follow(ctx context.Context, run client.Run) error {
	show, poll := f.plain(&f.noted), pollPlain
	if columns, ok := f.terminal(); ok && !f.json {
		show, poll = f.bar(columns, &f.noted), pollTerminal
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
		next, err := f.latest(ctx)
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

// left describes what happens to a run that nobody watches.
func (f *follower) left() error {
	again := "authsync " + f.kind + " " + f.project + " " + f.provider
	look := again
	if f.kind == client.Reconcile {
		look += " --status" // a dry run that has ended meanwhile must not become a repair
	}
	if err := f.notice("\nThe %s goes on without this command. To look again: %s. To end it: %s --cancel", f.kind, look, again); err != nil {
		return err
	}
	return errReported
}

// ended reports how it ended. Users that are not in the mirror as the provider has
// them are no success.
func (f *follower) ended(run client.Run) error {
	if f.json {
		if err := f.printJSON(run); err != nil {
			return err
		}
	} else if err := f.report(run); err != nil {
		return err
	}
	if err := f.reportAttached(run); err != nil {
		return err
	}
	if run.State != "done" || run.Failed > 0 || run.Drift != nil && run.Drift.Total(func(d client.TypeDrift) int64 { return d.Left + d.Failed }) > 0 {
		return errReported
	}
	return nil
}

// reportAttached says of a reconcile that was running already what its report does not have.
func (f *follower) reportAttached(run client.Run) error {
	switch {
	case !f.attached || f.kind != client.Reconcile || run.State != "done":
		return nil
	case f.isOther:
		return f.notice("This was not the run that you asked for, but one %s since %s: run the command again for a run as you asked for.",
			orderWords(run), clock(run.StartedAt))
	default:
		return f.notice("This run began at %s: what changed at the provider since may be missing from its report. Run the command again for a new one.",
			clock(run.StartedAt))
	}
}

func (f *follower) report(run client.Run) error {
	for _, note := range run.Report.Notes[min(f.noted, len(run.Report.Notes)):] {
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
		if run.Drift != nil {
			return f.reportDrift(run, took)
		}
		users, others := readByType(run)
		also := ","
		if len(others) > 0 {
			also = ", and " + strings.Join(others, ", ") + ":"
		}
		return f.printf("Done in %s: %s %s read%s %s new or changed, %s unchanged, %s failed.\n",
			took, thousands(users), plural.Noun(users, "user"), also, thousands(run.Applied), thousands(run.Unchanged), thousands(run.Failed))
	case "cancelled":
		return f.notice("The %s was cancelled after %s; what it wrote stays in the mirror.", f.kind, readWords(run))
	default:
		reason := ""
		if run.Error != nil {
			reason = printable(*run.Error)
		}
		return f.notice("authsync: the %s has failed after %s: %s", f.kind, readWords(run), reason)
	}
}
