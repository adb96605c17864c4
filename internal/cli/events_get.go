package cli

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newEventsShow() *cobra.Command {
	var body bool
	cmd := &cobra.Command{
		Use:   "get PROJECT ID",
		Short: "Show one event: its message, outcome and jobs",
		Long: `Shows one event by its id in events list, and its jobs, with their last errors and next
attempts. --body prints only the request body, byte for byte: it contains personal
data, so the server logs who reads it.`,
		Example: "  authsync events get demo 17.0\n" +
			"  authsync events get demo 17.0 --body | jq .",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			e, err := c.Event(cmd.Context(), args[0], args[1], body)
			if err != nil {
				return err
			}
			if body && !s.json {
				return s.printBody(e)
			}
			switch {
			case s.json && body:
				return s.printJSON(e)
			case s.json:
				return s.printJSON(e.EventDetail)
			}
			return s.printEvent(e.Event, e.Jobs)
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "print the body of the request, unchanged")
	return cmd
}

func (s *session) printBody(d client.Message) error {
	var raw []byte
	var err error
	switch {
	case d.Body != nil:
		raw = []byte(*d.Body)
	case d.BodyBase64 != nil:
		if raw, err = base64.StdEncoding.DecodeString(*d.BodyBase64); err != nil {
			return err
		}
	}
	_, err = s.Out.Write(raw)
	return err
}

func (s *session) printEvent(e client.Event, jobs []client.Job) error {
	facts := map[string]string{
		"1 event": orNull(e.EventID), "2 provider": e.Provider, "3 type": orNull(e.Type), "4 record": recordOf(e),
		"5 event time": clockOrDash(e.EventTime), "6 received": clock(e.ReceivedAt), "7 applied": clockOrDash(e.AppliedAt),
		"8 outcome": e.Outcome, "9 reason": orNull(e.Reason),
	}
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		if err := s.printf("%-11s %s\n", name[2:], printable(facts[name])); err != nil {
			return err
		}
	}
	t := table{head: []string{"JOB", "KIND", "STATE", "ATTEMPT", "NEXT TRY", "WHY"}, none: "\nNo job is left: the event has its outcome."}
	for _, j := range jobs {
		why := orNull(j.LastError)
		if j.WaitReason != nil && j.NextTryAt != nil {
			why = "waits: " + *j.WaitReason
		}
		t.add(strconv.FormatInt(j.ID, 10), j.Kind, j.State, strconv.Itoa(j.Attempt)+" of "+strconv.Itoa(j.MaxAttempts), clockOrDash(j.NextTryAt), why)
	}
	if len(jobs) > 0 {
		if err := s.printf("\n"); err != nil {
			return err
		}
	}
	return s.print(t)
}
