package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newBackfill() *cobra.Command {
	var how following
	cmd := &cobra.Command{
		Use:   "backfill PROJECT PROVIDER",
		Short: "Read all users of a provider, and its organizations, into the mirror",
		Long: `Starts a backfill, or attaches to the running one, and shows its progress. The
server does the work: Ctrl-C leaves it running, and the same command attaches to it
again. Webhooks are processed meanwhile, and newer data is never overwritten.

After the users it reads the organizations, memberships and invitations, if the
integration mirrors them (option record_types) and the provider lists them. Auth0
lists members by organization: how many calls that takes is shown before it begins.

Credentials for reading users must be stored: secret_key for Clerk and WorkOS; domain,
client_id and client_secret for Auth0; session_token and option base_url, or option
source, for Better Auth.`,
		Example: "  authsync backfill shop clerk\n" +
			"  authsync backfill shop auth0 --no-wait\n" +
			"  authsync backfill shop auth0 --status --json",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd.Context(), args, client.Backfill, nil, how)
		},
	}
	how.flags(cmd, "what it read stays")
	return cmd
}
