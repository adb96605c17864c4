package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/destination"
)

func (s *session) newDestinationsTest() *cobra.Command {
	var eventType string
	cmd := &cobra.Command{
		Use:   "test PROJECT NAME",
		Short: "Send one test event to a destination",
		Long: `Sends one event about the synthetic user ` + destination.TestUserID + `, or another synthetic
record where --event-type says so, and prints the request as it was sent, with
credentials and signatures masked, the answer and how long it took. The request has
the header ` + destination.TestHeader + `: true, and the default body of a webhook has "test": true in
data. The destination's filters do not apply, and a paused destination is sent the
event too. No delivery is recorded.

The exit status is 1 if the event was not delivered. HubSpot destinations take no test
events; use authsync destinations preview for them.`,
		Example: "  authsync destinations test shop app\n" +
			"  authsync destinations test shop billing --event-type user.deleted\n" +
			"  authsync destinations test shop app --event-type organization.created",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			result, err := c.TestDestination(cmd.Context(), args[0], args[1], client.TestOrder{EventType: eventType})
			if err != nil {
				return err
			}
			if s.json {
				err = s.printJSON(result)
			} else {
				err = s.printTestResult(result)
			}
			return cmp.Or(err, failed(result))
		},
	}
	cmd.Flags().StringVar(&eventType, "event-type", destination.UserUpdated, "the type of the test event")
	return cmd
}

func failed(result client.TestResult) error {
	if result.Delivered {
		return nil
	}
	return errReported
}

func (s *session) printTestResult(result client.TestResult) error {
	for _, r := range result.Requests {
		if err := s.printRequest(r); err != nil {
			return err
		}
	}
	var b strings.Builder
	if result.Status != nil {
		fmt.Fprintf(&b, "\n%s in %d ms\n", strings.TrimSpace(fmt.Sprintf("%d %s", *result.Status, http.StatusText(*result.Status))), result.DurationMS)
	}
	if result.Response != "" {
		b.WriteString(printable(result.Response) + "\n")
	}
	if result.Delivered {
		b.WriteString("\nThe test event was delivered.\n")
	} else {
		fmt.Fprintf(&b, "\nThe test event was not delivered: %s\n", printable(result.Reason))
	}
	return s.printf("%s", b.String())
}
