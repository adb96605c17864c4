package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newUsers() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "users",
		Short: "List mirrored users, or find them by e-mail",
		Long: `Lists the users in the mirror. authsync explain explains the values in a row,
authsync refresh reads a user from the provider.`,
	})
	cmd.AddCommand(s.newUsersList())
	return cmd
}

func (s *session) newUsersList() *cobra.Command {
	var email string
	var limit int
	cmd := &cobra.Command{
		Use:   "list PROJECT",
		Short: "List users by id, or those with an e-mail address",
		Example: "  authsync users list demo --email ada.lovelace@example.com\n" +
			"  authsync users list demo --limit 10 --json",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			if cmd.Flags().Changed("email") && email == "" {
				return usagef("--email is empty: give an address")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			users, err := c.Users(cmd.Context(), args[0], email, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(users)
			}
			return s.printUsers(users...)
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "only users with this address, including deleted ones")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many users")
	return cmd
}

func (s *session) printUsers(users ...client.ListedUser) error {
	t := table{head: []string{"USER", "EMAIL", "NAME", "PROVIDER", "CREATED", "DELETED"}, none: "No users."}
	for _, u := range users {
		name := strings.TrimSpace(strings.Join([]string{strings.TrimPrefix(orNull(u.FirstName), "-"), strings.TrimPrefix(orNull(u.LastName), "-")}, " "))
		created := "-"
		if u.CreatedAt != nil {
			created = day(*u.CreatedAt)
		}
		t.add(u.ID, orNull(u.Email), orDash(name), orNull(u.Provider), created, shortClockOrDash(u.DeletedAt))
	}
	return s.print(t)
}

// findUser gives the id of the user that is meant: an address of e-mail stands for the one user who
// has it. An id that looks like one counts as an id if there is such a user.
func (s *session) findUser(ctx context.Context, c *client.Client, project, idOrEmail string) (string, error) {
	if !strings.Contains(idOrEmail, "@") {
		return idOrEmail, nil
	}
	users, err := c.Users(ctx, project, idOrEmail, 2)
	switch {
	case err != nil:
		return "", err
	case len(users) > 1:
		return "", fmt.Errorf("several users have this address: give an id; authsync users list %s --email %s lists them", project, quoted(idOrEmail))
	case len(users) == 1:
		return users[0].ID, nil
	default:
		return idOrEmail, nil
	}
}
