package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newRefresh() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "refresh PROJECT USER|TYPE/ID",
		Short: "Read one user or another record from the provider and repair the row",
		Long: `Reads one record from the provider now, reports how the mirror differs, and repairs it:
a missing row is created, different columns are updated, a record the provider no longer
has is marked as deleted, and one deleted only in the mirror is restored. It costs one
call to the provider's API, for a membership of Auth0 up to four. A user is named by id
or e-mail, any record by its type and its id: organization/ID,
membership/ORGANIZATION/USER, invitation/ID or user/ID. Sessions cannot be refreshed.

The record is read from the provider it came from. If the project has several and the
mirror does not know the record, use --provider. Credentials for reading users must be
stored; authsync backfill --help lists them.`,
		Example: "  authsync refresh shop 'auth0|5f7c8ec7c33c6c004bbafe82'\n" +
			"  authsync refresh shop ada.lovelace@example.com --provider clerk --json\n" +
			"  authsync refresh shop organization/org_123",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from != "" {
				var err error
				if from, err = provider.ParseName(from); err != nil {
					return usageError{err}
				}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			d, id, err := s.findRecord(cmd.Context(), c, args[0], args[1])
			if err != nil {
				return err
			}
			repair, err := c.Refresh(cmd.Context(), args[0], string(d.Type), id, from)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(repair)
			}
			return s.printRepair(repair)
		},
	}
	cmd.Flags().StringVar(&from, "provider", "", "the provider to read from: auth0, clerk or better_auth")
	return cmd
}

// printRepair prints in sentences what was found and done.
func (s *session) printRepair(r client.Repair) error {
	title, record := provider.Title(r.Provider), r.RecordType
	found := map[string]string{
		"equal":        "the row is as " + title + " has the " + record,
		"missing":      "the mirror did not have the " + record,
		"differing":    "the row differed in " + strings.Join(r.Columns, ", "),
		"deleted_here": "the " + record + " was deleted in the mirror, but not at " + title,
		"gone":         title + " has no such " + record,
		"recent":       "the row is newer than what " + title + " is certain to know",
	}
	done := map[string]string{
		"nothing":  "nothing was changed",
		"created":  "the row was made",
		"updated":  "the row was repaired",
		"restored": "the row was restored",
		"deleted":  "the row was marked as deleted",
	}
	note := ""
	if r.Note != nil {
		note = " (" + *r.Note + ")"
	}
	return s.printf("%s: %s; %s%s.\n", printable(r.RecordID), found[r.Found], done[r.Done], printable(note))
}
