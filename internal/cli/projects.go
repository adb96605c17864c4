package cli

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newProjects() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "projects",
		Short: "Create, clone, list, change and detach projects",
		Long: `A project is a tenant: it has its own PostgreSQL database, which contains its mirror
capydb_auth.users. Commands accept a project's name or id.`,
	})
	cmd.AddCommand(s.newProjectsCreate(), s.newProjectsList(), s.newProjectsShow(), s.newProjectsUpdate(), s.newProjectsDelete(),
		s.newProjectsClone(), s.newProjectsResync())
	return cmd
}

func (s *session) printProjects(projects ...client.Project) error {
	t := table{head: []string{"NAME", "ID", "CREATED", "DATABASE"}, none: "No projects: make one with authsync projects create NAME."}
	for _, p := range projects {
		t.add(p.Name, p.ID, day(p.CreatedAt), orNull(p.Database))
	}
	return s.print(t)
}

func (s *session) newProjectsCreate() *cobra.Command {
	from := source{flag: "database-url"}
	adopt := false
	var keep []string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a project",
		Long: `Creates a project. Pass the connection URL of its database in a file, on standard
input or in an environment variable, since it contains a password. Without one,
authsync creates a database for the project on the control server.

The role in the URL must be able to connect and to create schema capydb_auth:
GRANT CREATE ON DATABASE shop TO authsync. It does not need superuser rights.

The mirror in a database belongs to one project, so that two cannot mix their users.
Use --adopt for a mirror whose project was deleted while the database was down, or for
a copy of a project's database.

With --keep a part of the project's history is kept for a number of days of its own:
inbox (messages and outcomes), ledger, changes or deliveries.`,
		Example: "  authsync projects create shop --database-url-env SHOP_DATABASE_URL\n" +
			"  pass show shop/db-url | authsync projects create shop --database-url-file -\n" +
			"  authsync projects create playground",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if adopt && !from.given() {
				return usagef("--adopt is for a mirror that is there already: give its database with --database-url-file or --database-url-env")
			}
			in := map[string]any{"name": args[0]}
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
			c, err := s.client()
			if err != nil {
				return err
			}
			var p client.Project
			if err := c.Do(cmd.Context(), http.MethodPost, "/projects", in, &p); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(p)
			}
			return s.printProjects(p)
		},
	}
	keepFlag(cmd, &keep)
	cmd.Flags().StringVar(&from.file, "database-url-file", "", "file with the database's connection URL; - is standard input")
	cmd.Flags().StringVar(&from.env, "database-url-env", "", "environment variable with the database's connection URL")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "adopt a mirror that belonged to another project")
	return cmd
}

func (s *session) newProjectsList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the projects",
		Example: "  authsync projects list",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			projects, err := c.Projects(cmd.Context())
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(projects)
			}
			return s.printProjects(projects...)
		},
	}
}

func (s *session) newProjectsShow() *cobra.Command {
	return &cobra.Command{
		Use:     "get PROJECT",
		Short:   "Show a project and its integrations",
		Example: "  authsync projects get demo",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			p, err := c.Project(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			integrations, err := c.Integrations(cmd.Context(), p.ID)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(struct {
					client.Project

					Integrations []client.Integration `json:"integrations"`
				}{p, integrations})
			}
			if err := s.printProjects(p); err != nil {
				return err
			}
			if err := s.printRetention(p); err != nil {
				return err
			}
			if r := p.MirrorRepair; r != nil {
				if err := s.printf("\nMirror: %s.\n", printable(r.Summary)); err != nil {
					return err
				}
			}
			if p.Clone != nil {
				if err := s.printf("\nClone: %s.\n", printable(p.Clone.Summary)); err != nil {
					return err
				}
			}
			if err := s.printf("\n"); err != nil {
				return err
			}
			if len(integrations) == 0 && p.Clone != nil && p.Clone.State != client.CloneStill {
				return s.printf("No integrations: the records come from project %s.\n", p.Clone.SourceName)
			}
			return s.printIntegrations(p.Name, integrations...)
		},
	}
}

func (s *session) newProjectsDelete() *cobra.Command {
	var yes, keep bool
	cmd := &cobra.Command{
		Use:   "detach PROJECT",
		Short: "Detach a project; its database is not touched",
		Long: `Detaches a project: its integrations, credentials and API keys are deleted, and its
webhooks are rejected from then on. Its database is not touched: the mirror stays
there with all its data. Webhooks that authsync created at providers are removed
there first, unless --keep-webhook is given; those that were there before stay.
While one cannot be removed, the project stays, because without its credentials
nobody could.`,
		Example: "  authsync projects detach shop --yes\n" +
			"  authsync projects detach shop --yes --keep-webhook",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.confirm(yes, "Webhooks for project "+args[0]+" will be rejected from now on, and its API keys are revoked"); err != nil {
				return err
			}
			path := "/projects/" + url.PathEscape(args[0])
			if keep {
				path += "?keep_webhook=true"
			}
			return s.remove(cmd.Context(), path, "Detached project "+args[0]+". Its database is as it was.")
		},
	}
	yesFlag(cmd, &yes)
	cmd.Flags().BoolVar(&keep, "keep-webhook", false, "leave the webhooks at the providers that authsync created")
	return cmd
}

// remove deletes a resource and prints what was done.
func (s *session) remove(ctx context.Context, path, done string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Do(ctx, http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(map[string]bool{"deleted": true})
	}
	return s.printf("%s\n", done)
}
