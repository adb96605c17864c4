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
		Short: "Measure how much this machine can take",
		Long: `Measures the road of a webhook from the socket to the row, beside a plain way of
doing the same, in turns on a private PostgreSQL with fsync on. The absolute numbers
are the machine's, the ratios are authsync's. Then backfills and reconciles of 200,000 and
1,000,000 users; and last the deliveries to webhooks, and what projects that have much to
deliver make of the time that others take. It takes about a quarter of an hour, the
first two parts two minutes of it, needs nothing configured and touches no server or
database that runs.`,
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
	f.DurationVar(&c.Duration, "duration", 3*time.Second, "how long each measurement of receiving takes")
	f.IntVar(&c.Rounds, "rounds", 3, "how often each is repeated; the median counts")
	f.IntVar(&c.Events, "events", 40_000, "how many profiles are applied")
	f.IntVar(&c.Changes, "changes", 20_000, "how many changes are delivered")
	f.IntVar(&c.Waiting, "waiting", 50_000, "how many deliveries wait beside, when fairness is measured")
	f.IntSliceVar(&c.Users, "users", nil, "sizes of accounts that are read (default 200000,1000000)")
	return cmd
}
