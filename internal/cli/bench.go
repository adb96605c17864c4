package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/bench"
)

func (s *session) newBench() *cobra.Command {
	var c bench.Config
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the throughput of this machine",
		Long: `Measures the path of a webhook from the socket to the row against a simple reference
implementation, on a private PostgreSQL with fsync on. The absolute numbers depend on
the machine; compare the ratios. Then it measures backfills and reconciles of 200,000
and 1,000,000 users, deliveries to webhooks, and how much a project's backlog slows
down other projects. It takes about a quarter of an hour, two minutes of it for the
first two parts. It needs no configuration and touches no running server or database.`,
		Example: "  authsync bench\n  authsync bench --only receive --connections 64 --duration 10s\n" +
			"  authsync bench --only backfill --users 50000\n  authsync bench --only deliver --changes 10000",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case s.json:
				return usagef("bench prints text only: leave --json away")
			case c.Only != "" && !slices.Contains(bench.Parts(), c.Only):
				return usagef("--only is %q: it takes one of %s", c.Only, strings.Join(bench.Parts(), ", "))
			}
			return bench.Run(cmd.Context(), s.Out, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Only, "only", "", "measure only receive, apply, backfill, deliver or outage")
	f.IntSliceVar(&c.Connections, "connections", nil, "numbers of concurrent senders (default 16,64,256)")
	f.DurationVar(&c.Duration, "duration", 3*time.Second, "duration of each receive measurement")
	f.IntVar(&c.Rounds, "rounds", 3, "repetitions of each measurement; the median counts")
	f.IntVar(&c.Events, "events", 40_000, "number of profiles to apply")
	f.IntVar(&c.Changes, "changes", 20_000, "number of changes to deliver")
	f.IntVar(&c.Waiting, "waiting", 50_000, "backlog of the other project when measuring fairness")
	f.IntSliceVar(&c.Users, "users", nil, "numbers of users to read (default 200000,1000000)")
	return cmd
}
