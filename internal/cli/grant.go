package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newGrant() *cobra.Command {
	reader := client.Reader{Read: []string{"mirror"}}
	cmd := &cobra.Command{
		Use:   "grant PROJECT ROLE [--read mirror,feed] [--ensure-user]",
		Short: "Let a database role read the mirror, and nothing else",
		Long: `Grants a role of the project's database SELECT on what --read lists, and revokes
every other privilege it has on objects of authsync:

  mirror   the tables of users and other records, and the views of them
  feed     all changes of all records, and the event that set each column:
           changes, record_changes, user_changes, and the views *_sources

With --ensure-user the role may also call ensure_user and ensure_organization, which
create placeholders, and read the view placeholders. Row-level security on the tables
applies to the role; the output says which rows it will see. The role must exist. The
command can be repeated.

To create foreign keys to users, the role also needs a privilege that you grant
yourself: GRANT REFERENCES (id) ON capydb_auth.users TO the_role.`,
		Example: "  authsync grant shop shop_app\n" +
			"  authsync grant shop shop_app --ensure-user\n" +
			"  authsync grant shop exporter --read mirror,feed",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			reader.Role = args[1]
			granted, err := c.Grant(cmd.Context(), args[0], reader)
			if err != nil {
				return err
			}
			return s.printGrant(granted)
		},
	}
	cmd.Flags().StringSliceVar(&reader.Read, "read", reader.Read, "what the role may read: mirror, feed or both")
	cmd.Flags().BoolVar(&reader.EnsureUser, "ensure-user", false, "let the role create placeholders by calling ensure_user or ensure_organization")
	return cmd
}

func (s *session) printGrant(granted client.Grant) error {
	if s.json {
		return s.printJSON(granted)
	}
	t := table{head: []string{"ROLE", "MAY"}}
	for _, right := range granted.Granted {
		t.add(granted.Role, right)
	}
	if err := s.print(t); err != nil || len(granted.Sees) == 0 {
		return err
	}
	sees := table{head: []string{"OF", "IT SEES"}}
	for _, visible := range granted.Sees {
		sees.add(visible.Relation, visible.Rows)
	}
	if err := s.printf("\n"); err != nil {
		return err
	}
	return s.print(sees)
}
