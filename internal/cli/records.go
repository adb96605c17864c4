package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/record"
)

func (s *session) newRecords() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "records",
		Short: "List mirrored records of any type",
		Long: `Lists the records in the mirror: users, organizations, memberships, invitations and
sessions. authsync explain explains the values in a row.`,
	})
	cmd.AddCommand(s.newRecordsList())
	return cmd
}

func (s *session) newRecordsList() *cobra.Command {
	var f client.RecordFilter
	var limit int
	cmd := &cobra.Command{
		Use:   "list PROJECT TYPE",
		Short: "List the records of a type, or find some by name or e-mail",
		Long: `Lists the records of a type: user, organization, membership, invitation or session.
The id of a membership is organization_id/user_id.

--name finds users and organizations by how a name begins, in any case: of a user
the full name (given name, family name), the family name, or the username if there is
neither.`,
		Example: "  authsync records list demo organization\n" +
			"  authsync records list demo user --name 'ada l'\n" +
			"  authsync records list demo membership --organization org_123 --json",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			for name, value := range map[string]string{"name": f.Name, "email": f.Email} {
				if cmd.Flags().Changed(name) && value == "" {
					return usagef("--%s is empty: give it a value", name)
				}
			}
			d, known := record.Of(record.Type(args[1]))
			if !known {
				return usagef("%q is no record type: take one of %s", args[1], strings.Join(record.Names(), ", "))
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			records, err := c.Records(cmd.Context(), args[0], args[1], f, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(records)
			}
			return s.printRecords(d, records)
		},
	}
	cmd.Flags().StringVar(&f.Name, "name", "", "only users or organizations of which a name begins like this")
	cmd.Flags().StringVar(&f.Email, "email", "", "only users or invitations with this address, including deleted ones")
	cmd.Flags().StringVar(&f.OrganizationID, "organization", "", "only memberships or invitations of this organization")
	cmd.Flags().StringVar(&f.UserID, "user", "", "only memberships or sessions of this user")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many records")
	return cmd
}

// listedColumns are the columns that a table has room for.
func listedColumns(t record.Type) []string {
	switch t {
	case record.Organization:
		return []string{"name", "slug", "created_at", "deleted_at"}
	case record.Membership:
		return []string{"role", "roles", "deleted_at"}
	case record.Invitation:
		return []string{"organization_id", "email", "role", "status"}
	case record.Session:
		return []string{"user_id", "status", "created_at", "ended_at"}
	default:
		return []string{"email", "first_name", "last_name", "deleted_at"}
	}
}

func (s *session) printRecords(d record.Definition, records []client.ListedRecord) error {
	head := []string{"ID"}
	for _, column := range listedColumns(d.Type) {
		head = append(head, strings.ToUpper(strings.ReplaceAll(column, "_", " ")))
	}
	t := table{head: head, none: "No " + d.Table + "."}
	for _, r := range records {
		row := []string{r.RecordID}
		for _, column := range listedColumns(d.Type) {
			row = append(row, cell(r.Record[column]))
		}
		t.add(row...)
	}
	return s.print(t)
}
