package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newProjectsUpdate() *cobra.Command {
	from := source{flag: "database-url"}
	var name string
	var adopt bool
	var keep []string
	cmd := &cobra.Command{
		Use:   "update PROJECT",
		Short: "Rename a project, or change its database URL or retention",
		Long: `Updates a project. Pass a new connection URL, in a file, on standard input or in an
environment variable, for a new password or a database that moved. The mirror is
installed there first; if that fails, nothing changes. Data is not moved from the old
database; events missing in the new one are applied again from the inbox.

With --keep a part of the project's history is kept for a number of days of its own:
inbox (messages and outcomes), ledger, changes or deliveries; default is the server's.
What is past its days is deleted within hours, and nothing brings it back.`,
		Example: "  authsync projects update shop --database-url-env SHOP_DATABASE_URL\n" +
			"  authsync projects update shop --name boutique\n" +
			"  authsync projects update shop --keep inbox=7 --keep ledger=14 --keep changes=default",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := map[string]any{}
			if cmd.Flags().Changed("name") {
				in["name"] = name
			}
			if from.given() {
				databaseURL, err := s.read(from)
				if err != nil {
					return err
				}
				in["database_url"] = databaseURL
				in["adopt"] = adopt
			}
			if err := addKeep(in, keep); err != nil {
				return err
			}
			if len(in) == 0 {
				return usagef("nothing to change: give --name, --database-url-file, --database-url-env or --keep")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			var p client.Project
			if err := c.Do(cmd.Context(), http.MethodPatch, "/projects/"+url.PathEscape(args[0]), in, &p); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(p)
			}
			if err := s.printProjects(p); err != nil || len(keep) == 0 {
				return err
			}
			return s.printRetention(p)
		},
	}
	keepFlag(cmd, &keep)
	cmd.Flags().StringVar(&name, "name", "", "new name")
	cmd.Flags().StringVar(&from.file, "database-url-file", "", "file with the database's connection URL; - is standard input")
	cmd.Flags().StringVar(&from.env, "database-url-env", "", "environment variable with the database's connection URL")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "adopt a mirror that belonged to another project")
	return cmd
}
