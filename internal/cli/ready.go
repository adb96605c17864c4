package cli

import (
	"context"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

// readyWait is longer than a server takes for its answer, and shorter than probes wait.
const readyWait = 4 * time.Second

func (s *session) newReady() *cobra.Command {
	return &cobra.Command{
		Use:   "ready",
		Short: "Check that the server on this machine is ready for requests",
		Long: `Asks the server that listens on AUTHSYNC_LISTEN, on this machine, whether it is
ready (/readyz), and prints the state of its parts. It needs no key. The exit status is
0 only for a server that is ready, so containers without a shell can use it as their
health check.`,
		Example: "  authsync ready\n  AUTHSYNC_LISTEN=127.0.0.1:8081 authsync ready --json",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.settings()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), readyWait)
			defer cancel()
			server := client.New(localURL(c.Listen), "")
			defer server.Close()
			answer, err := server.Ready(ctx)
			if err != nil {
				return err
			}
			if s.json {
				err = s.printJSON(answer)
			} else {
				t := table{head: []string{"PART", "STATE"}}
				for _, part := range slices.Sorted(maps.Keys(answer.Parts)) {
					t.add(part, answer.Parts[part])
				}
				err = s.print(t)
			}
			if err == nil && answer.Status != "ready" {
				return errReported
			}
			return err
		},
	}
}

// localURL is the URL, from this machine, of a server that listens on an address.
func localURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
