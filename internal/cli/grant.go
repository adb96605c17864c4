package cli

import (
	"github.com/spf13/cobra"
)

func (s *session) newGrant() *cobra.Command {
	return &cobra.Command{
		Use:   "grant PROJECT ROLE",
		Short: "Let a database role read the mirror, and nothing more",
		Long: `Gives a role of the project's database SELECT on the tables and views of the mirror
and EXECUTE on ensure_user, and takes from it any right to write there. The role
must exist. It may be repeated, and should be after an upgrade that adds a view.

A role that shall also make foreign keys to users needs one right more, which you
give yourself: GRANT REFERENCES (id) ON capydb_auth.users TO the_role.`,
		Example: "  authsync grant shop shop_app",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			granted, err := c.Grant(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(granted)
			}
			t := table{head: []string{"ROLE", "MAY"}}
			for _, right := range granted.Granted {
				t.add(granted.Role, right)
			}
			return s.print(t)
		},
	}
}
