package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newGrant() *cobra.Command {
	reader := client.Reader{Read: []string{"mirror"}}
	cmd := &cobra.Command{
		Use:   "grant PROJECT ROLE [--read mirror,feed] [--ensure-user]",
		Short: "Let a database role read the mirror, and nothing more",
		Long: `Gives a role of the project's database SELECT on what --read names, and takes from
it every other right on what authsync has made there:

  mirror   the table users
  feed     every change of every user, and which event said what: user_changes,
           user_sources and the versions that it shows

With --ensure-user it may also call ensure_user, which makes placeholders, and see
view placeholders. Row-level security on the tables holds for the role; the output
says which rows it will see. The role must exist. It may be repeated.

A role that shall also make foreign keys to users needs one right more, which you
give yourself: GRANT REFERENCES (id) ON capydb_auth.users TO the_role.`,
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
	cmd.Flags().StringSliceVar(&reader.Read, "read", reader.Read, "what it may read: mirror, feed or both")
	cmd.Flags().BoolVar(&reader.EnsureUser, "ensure-user", false, "let it make placeholders by calling ensure_user")
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
	for _, sight := range granted.Sees {
		sees.add(sight.Relation, sight.Rows)
	}
	if err := s.printf("\n"); err != nil {
		return err
	}
	return s.print(sees)
}
