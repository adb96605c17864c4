// Command bench measures the throughput of this machine, for make bench. It is a program of its own so that
// authsync carries none of it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/scripts/bench/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var c measure.Config
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the throughput of this machine",
		Long: `Measures the path of a webhook from the socket to the row against simple reference
implementations, on a private PostgreSQL with fsync on. The absolute numbers depend on
the machine; compare the ratios, and CPU and WAL per event. Then it measures backfills and reconciles of 200,000
and 1,000,000 users, deliveries to webhooks, how much a project's backlog slows down
other projects, and the pages of the dashboard and retention with 10,000,000 messages.
It takes about an hour and a half, a quarter of an hour for the first two parts, and half
an hour for the dashboard. It needs no configuration and touches no running server or database.`,
		Example: "  make bench\n  make bench ARGS='--only receive --connections 64 --duration 10s'\n" +
			"  make bench ARGS='--only backfill --users 50000'\n  make bench ARGS='--only deliver --changes 10000'\n" +
			"  make bench ARGS='--only dashboard --users 100000 --inbox 500000 --deliveries 50000'\n" +
			"  make bench ARGS='--only retention --inbox 1000000'",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Only != "" && !slices.Contains(measure.Parts(), c.Only) {
				return fmt.Errorf("--only is %q: it takes one of %s", c.Only, strings.Join(measure.Parts(), ", "))
			}
			return measure.Run(cmd.Context(), cmd.OutOrStdout(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Only, "only", "", "measure only receive, apply, backfill, deliver, outage, dashboard or retention")
	f.IntSliceVar(&c.Connections, "connections", nil, "numbers of concurrent senders (default 16,64,256)")
	f.DurationVar(&c.Duration, "duration", 3*time.Second, "duration of each receive measurement")
	f.IntVar(&c.Rounds, "rounds", 3, "repetitions of each measurement; the median counts")
	f.IntVar(&c.Events, "events", 40_000, "number of profiles to apply")
	f.IntVar(&c.Changes, "changes", 20_000, "number of changes to deliver")
	f.IntVar(&c.Waiting, "waiting", 50_000, "backlog of the other project when measuring fairness")
	f.IntSliceVar(&c.Users, "users", nil, "numbers of users to read (default 200000,1000000); of the dashboard's project the largest (default 2000000)")
	f.IntVar(&c.Inbox, "inbox", 10_000_000, "messages of the dashboard's project, and those that retention is measured with")
	f.IntVar(&c.Deliveries, "deliveries", 1_000_000, "deliveries of the dashboard's project")
	f.IntVar(&c.Projects, "projects", 100, "other projects of the dashboard")
	f.IntVar(&c.Repeat, "repeat", 30, "how often each page of the dashboard is opened")
	f.BoolVar(&c.WAL, "wal", false, "with --only apply: measure authsync alone, and where its WAL goes (needs PostgreSQL's extension pg_walinspect)")
	f.BoolVar(&c.JSON, "json", false, "write the tables as JSON, one object per row")
	return cmd
}
