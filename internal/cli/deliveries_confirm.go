package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newDeliveriesConfirm() *cobra.Command {
	var in client.ConfirmOrder
	var record string
	var all bool
	cmd := &cobra.Command{
		Use:   "confirm PROJECT [ID...]",
		Short: "Send deletions now that are held back",
		Long: `Sends deletions now that the holdback of their destination keeps back: those given by
id, or all that match the flags. What else is held of the same record goes with them.
--dry-run counts, and sends nothing. To have the destination never hear of a deletion,
use authsync deliveries cancel.`,
		Example: "  authsync deliveries list shop --state held\n" +
			"  authsync deliveries confirm shop 17\n" +
			"  authsync deliveries confirm shop --user user_2xKq9\n" +
			"  authsync deliveries confirm shop --destination crm --all --dry-run",
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.RecordType, in.RecordID, err = splitRecord(record); err != nil {
				return err
			}
			chosen := in.UserID != "" || in.RecordID != "" || in.EventType != ""
			switch {
			case len(args) > 1 && (all || chosen || in.Destination != "" || in.DryRun):
				return usagef("give ids, or flags that choose deliveries, not both")
			case len(args) > 1:
				return s.actOnDeliveries(cmd, args, "confirm")
			case all && (chosen || in.Destination == ""):
				return usagef("--all goes with --destination alone: it confirms all that are held of it")
			case !all && !chosen:
				return usagef("say which deliveries: ids, flags such as --user, or --destination NAME --all")
			}
			return s.confirmDeliveries(cmd, args[0], in)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.Destination, "destination", "", "only those to this destination")
	flags.StringVar(&in.UserID, "user", "", "those about this user, its memberships and sessions")
	flags.StringVar(&record, "record", "", "those about this record, such as organization/org_123")
	flags.StringVar(&in.EventType, "event-type", "", "those of this event type, such as user.deleted")
	flags.BoolVar(&all, "all", false, "all that are held of the destination")
	flags.BoolVar(&in.DryRun, "dry-run", false, "count, and send nothing")
	return cmd
}

func (s *session) confirmDeliveries(cmd *cobra.Command, project string, in client.ConfirmOrder) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	done, err := c.ConfirmOutgoing(cmd.Context(), project, in)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(done)
	}
	if done.DryRun {
		return s.printf("Would be sent now: %d. Nothing was done.\n", done.Matched)
	}
	return s.printf("Sent now: %d.\n", done.Confirmed)
}
