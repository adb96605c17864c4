package cli

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newEventsRejected() *cobra.Command {
	var providerName string
	var limit int
	cmd := &cobra.Command{
		Use:   "rejected PROJECT",
		Short: "List rejected requests and the reasons",
		Long: `Lists rejected requests to the project's webhook URLs, newest first, such as those
whose signature matches no secret. Since the sender is unknown, they become no events,
and neither bodies nor signatures are stored. Requests with the same reason and address
within a second share a row (REQUESTS). The newest 100 of each provider are kept for a
week.`,
		Example: "  authsync events rejected demo\n" +
			"  authsync events rejected demo --provider clerk --json",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if providerName != "" {
				if providerName, err = provider.ParseName(providerName); err != nil {
					return usageError{err}
				}
			}
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			rejected, err := c.Rejected(cmd.Context(), args[0], providerName, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(rejected)
			}
			return s.printRejected(rejected...)
		},
	}
	cmd.Flags().StringVar(&providerName, "provider", "", "only requests of this provider")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many rows")
	return cmd
}

func (s *session) printRejected(rejected ...client.Rejected) error {
	t := table{
		head: []string{"RECEIVED", "PROVIDER", "STATUS", "REASON", "REQUESTS", "BYTES", "FROM"},
		none: "No request was rejected.",
	}
	for _, r := range rejected {
		size := "-"
		if r.BodyBytes != nil {
			size = strconv.FormatInt(*r.BodyBytes, 10)
		}
		t.add(clock(r.ReceivedAt), r.Provider, strconv.Itoa(r.Status), r.Reason, strconv.FormatInt(r.RequestCount, 10), size, orNull(r.RemoteAddress))
	}
	if err := s.print(t); err != nil {
		return err
	}
	// Each reason once, in the words of its newest request.
	details := map[string]string{}
	for _, r := range slices.Backward(rejected) {
		details[r.Reason] = r.Detail
	}
	for _, reason := range slices.Sorted(maps.Keys(details)) {
		if err := s.printf("\n%s: %s\n", reason, printable(details[reason])); err != nil {
			return err
		}
	}
	return nil
}

// lately is how far back a refused request is worth a word where other things are shown.
const lately = time.Hour

// noteRejected mentions recently refused requests to a person who looks at something else of the
// project. If they cannot be read, it prints nothing.
func (s *session) noteRejected(ctx context.Context, c *client.Client, project string) error {
	if s.json {
		return nil
	}
	rejected, err := c.Rejected(ctx, project, "", 100)
	if err != nil {
		return nil //nolint:nilerr // the command's own output is complete
	}
	requests, reasons := map[string]int64{}, map[string]string{}
	for _, r := range rejected {
		if r.ReceivedAt.Before(s.Now().Add(-lately)) {
			continue
		}
		requests[r.Provider] += r.RequestCount
		if reasons[r.Provider] == "" {
			reasons[r.Provider] = r.Reason
		}
	}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		err := s.notice("%s: %s rejected within the last hour (%s): authsync events rejected %s",
			provider.Title(name), countOf(requests[name]), reasons[name], project)
		if err != nil {
			return err
		}
	}
	return nil
}

func countOf(requests int64) string {
	return plural.Of(requests, "request") + plural.Word(requests, " was", " were")
}
