package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newDeliveries() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "deliveries",
		Short: "List, show, retry, confirm and cancel deliveries to destinations",
		Long: `A delivery is one change of a record for one destination. Its states:

  held       a deletion that the destination's holdback keeps back for a while
  blocked    waits for an earlier delivery of the same user or organization
  ready      waits to be sent
  retrying   failed or was deferred, and is retried for about three days
  delivered  accepted by the destination, or nothing to send
  coalesced  sent as part of a newer delivery
  failed     no more automatic retries; can be retried by hand
  cancelled  cancelled by a user`,
	})
	cmd.AddCommand(s.newDeliveriesList(), s.newDeliveriesShow(), s.newDeliveriesRetry(), s.newDeliveriesConfirm(), s.newDeliveriesCancel())
	return cmd
}

func (s *session) newDeliveriesList() *cobra.Command {
	var f client.OutgoingFilter
	var record string
	var limit int
	cmd := &cobra.Command{
		Use:   "list PROJECT",
		Short: "List the deliveries of a project, newest first",
		Example: "  authsync deliveries list shop\n" +
			"  authsync deliveries list shop --destination crm --state failed --json",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			var err error
			if f.RecordType, f.RecordID, err = splitRecord(record); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			deliveries, err := c.Outgoing(cmd.Context(), args[0], f, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(deliveries)
			}
			return s.printOutgoing("No deliveries.", deliveries...)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Destination, "destination", "", "only those to this destination")
	flags.StringVar(&f.State, "state", "", "only those in this state, such as failed")
	flags.StringVar(&f.User, "user", "", "only those about this user, its memberships and sessions")
	flags.StringVar(&record, "record", "", "only those about this record, such as organization/org_123")
	flags.StringVar(&f.EventType, "event-type", "", "only those of this event type, such as user.deleted")
	flags.IntVar(&limit, "limit", 50, "at most so many deliveries")
	return cmd
}

func (s *session) printOutgoing(none string, deliveries ...client.Delivery) error {
	t := table{head: []string{"ID", "CHANGED", "DESTINATION", "RECORD", "TYPE", "STATE", "TRIES", "NEXT TRY", "WHY"}, none: none}
	for _, d := range deliveries {
		t.add(count(d.ID), shortClock(d.ChangedAt), d.Destination, d.RecordID, d.EventType, d.State, strconv.Itoa(d.Attempts), shortClockOrDash(cmp.Or(d.HeldUntil, d.NextAttemptAt)), orDash(whyOf(d)))
	}
	return s.print(t)
}

// whyOf returns why a delivery is in its state, in a few words.
func whyOf(d client.Delivery) string {
	switch {
	case d.Reason != nil && *d.Reason != "":
		return *d.Reason
	case d.HeldUntil != nil:
		return "held back; confirm to send it now"
	case d.CoalescedInto != nil:
		return "part of " + count(*d.CoalescedInto)
	case d.LastStatus != nil:
		return "answered " + strconv.Itoa(*d.LastStatus)
	default:
		return ""
	}
}

func (s *session) newDeliveriesShow() *cobra.Command {
	var withRequests, withPreview bool
	cmd := &cobra.Command{
		Use:   "get PROJECT ID",
		Short: "Show a delivery, its last attempts and the responses to them",
		Long: `Shows a delivery, the last response to it and its last ten attempts.

--requests adds the requests of each attempt as they were sent, and the answers: at most
4 kB of a body, with credentials and signatures masked. --preview adds the request as it
would be sent now.`,
		Example: "  authsync deliveries get shop 17\n" +
			"  authsync deliveries get shop 17 --requests\n" +
			"  authsync deliveries get shop 17 --preview",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := deliveryIDs(args[1:])
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			find := c.OneOutgoing
			if withPreview {
				find = c.OutgoingPreview
			}
			d, err := find(cmd.Context(), args[0], ids[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(d)
			}
			if err := s.printOneOutgoing(d); err != nil {
				return err
			}
			if withRequests {
				if err := s.printSent(d.AttemptLog); err != nil {
					return err
				}
			}
			return s.printOutgoingPreview(d.Preview)
		},
	}
	cmd.Flags().BoolVar(&withRequests, "requests", false, "show the requests of its attempts as they were sent, too")
	cmd.Flags().BoolVar(&withPreview, "preview", false, "show its request as it would be sent now, too")
	return cmd
}

// printOutgoingPreview prints what a delivery would send now; nil: it was not asked for.
func (s *session) printOutgoingPreview(preview *client.DeliveryPreview) error {
	if preview == nil {
		return nil
	}
	if err := s.printf("\nPreview: as it would be sent now\n"); err != nil {
		return err
	}
	for _, r := range preview.Requests {
		if err := s.printRequest(r); err != nil {
			return err
		}
	}
	if at := preview.DestinationChangedAt; at != nil {
		return s.notice("The destination was changed at %s, after the last attempt.", clock(*at))
	}
	return nil
}

func (s *session) printOneOutgoing(d client.DeliveryDetail) error {
	number := func(n *int64) string {
		if n == nil {
			return "-"
		}
		return count(*n)
	}
	status := "-"
	if d.LastStatus != nil {
		status = strconv.Itoa(*d.LastStatus)
	}
	err := s.printFacts([][2]string{
		{"delivery", count(d.ID)},
		{"destination", d.Destination},
		{"message", d.MessageID},
		{d.RecordType, d.RecordID},
		{"change", fmt.Sprintf("%d, %s: %s", d.ChangeID, d.EventType, cmp.Or(strings.Join(d.Changed, ", "), "-"))},
		{"changed", clock(d.ChangedAt)},
		{"state", d.State},
		{"why", orDash(whyOf(d.Delivery))},
		{"tries", strconv.Itoa(d.Attempts)},
		{"deferrals", strconv.Itoa(d.Deferrals)},
		{"last try", clockOrDash(d.LastAttemptAt)},
		{"held until", clockOrDash(d.HeldUntil)},
		{"next try", clockOrDash(d.NextAttemptAt)},
		{"status", status},
		{"answer", orNull(d.LastResponse)},
		{"part of", number(d.CoalescedInto)},
		{"job", number(d.JobID)},
		{"made", clock(d.CreatedAt)},
		{"finished", clockOrDash(d.FinishedAt)},
	})
	if err != nil {
		return err
	}
	return s.printAttempts(d.AttemptLog)
}

func deliveryIDs(texts []string) ([]int64, error) {
	ids := make([]int64, len(texts))
	for i, text := range texts {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, usagef("%q is no delivery: give the id that authsync deliveries list shows, such as 17", text)
		}
		ids[i] = id
	}
	return ids, nil
}

func (s *session) newDeliveriesRetry() *cobra.Command {
	var failed bool
	var destination string
	cmd := &cobra.Command{
		Use:   "retry PROJECT [ID...]",
		Short: "Retry deliveries now",
		Long: `Retries deliveries now: those given by id, or all failed ones of a destination.
A successful delivery is not retried; authsync destinations replay sends it again.`,
		Example: "  authsync deliveries retry shop 17 18\n" +
			"  authsync deliveries retry shop --failed --destination crm",
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case failed && len(args) > 1:
				return usagef("give ids or --failed, not both")
			case failed && destination == "":
				return usagef("say of which destination: --failed --destination NAME")
			case !failed && destination != "":
				return usagef("--destination goes with --failed, which retries all that failed of it")
			case failed:
				return s.replayDestination(cmd, args[0], destination, client.ReplayOrder{State: "failed"})
			}
			return s.actOnDeliveries(cmd, args, "retry")
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "all failed deliveries of the destination")
	cmd.Flags().StringVar(&destination, "destination", "", "the destination's name, with --failed")
	return cmd
}

func (s *session) newDeliveriesCancel() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "cancel PROJECT ID...",
		Short: "Cancel unfinished deliveries",
		Long: `Cancels deliveries: they are not sent, and later ones of the user or organization no
longer wait for them. A request that was already sent cannot be undone. Of a deletion
that is held the destination never hears, nor that its record was restored.`,
		Example: "  authsync deliveries cancel shop 17",
		Args:    takes(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := deliveryIDs(args[1:]); err != nil {
				return err
			}
			if err := s.confirm(yes, "What is cancelled is never sent"); err != nil {
				return err
			}
			return s.actOnDeliveries(cmd, args, "cancel")
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}

// actOnDeliveries does the same with each delivery, and stops at the first that refuses.
func (s *session) actOnDeliveries(cmd *cobra.Command, args []string, action string) error {
	if len(args) < 2 {
		return usagef("say which deliveries: ids as authsync deliveries list shows them, or --failed --destination NAME")
	}
	ids, err := deliveryIDs(args[1:])
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	done := make([]client.Delivery, len(ids))
	for i, id := range ids {
		if done[i], err = c.ActOnOutgoing(cmd.Context(), args[0], id, action); err != nil {
			return fmt.Errorf("delivery %d: %w", id, err)
		}
	}
	if s.json {
		return s.printJSON(done)
	}
	return s.printOutgoing("", done...)
}
