package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newDemoProvider() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "demo-provider",
		Short: "Change the demo provider's users",
		Long: `The demo provider stands in for Clerk, Auth0 and Better Auth, to try out everything
that reads users without an account. authsync dev --demo-provider runs it. Changing
a user sends a signed webhook, as the provider would; --lose-webhook loses it, to try
reconcile, refresh and redeliver.`,
	})
	users := asGroup(&cobra.Command{Use: "users", Short: "List, add, update and delete users"})
	users.AddCommand(s.newDemoUsersList(), s.newDemoUsersChange(demoprovider.Create), s.newDemoUsersChange(demoprovider.Update), s.newDemoUsersChange(demoprovider.Delete))
	cmd.AddCommand(users)
	return cmd
}

func (s *session) newDemoUsersList() *cobra.Command {
	return &cobra.Command{
		Use:     "list PROVIDER",
		Short:   "List the newest users",
		Example: "  authsync demo-provider users list clerk",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := demoProviderName(args[0])
			if err != nil {
				return err
			}
			var l demoprovider.Listing
			if err := s.askDemoProvider(cmd.Context(), http.MethodGet, "?provider="+url.QueryEscape(name), nil, &l); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(l)
			}
			t := table{head: []string{"ID", "USER"}}
			for _, u := range l.Users {
				t.add(u.ID, shortUser(u))
			}
			if err := s.print(t); err != nil {
				return err
			}
			return s.printf("The newest of %s.\n", plural.Of(l.Total, "user"))
		},
	}
}

// demoProviderName reads the name of a provider that the demo provider stands in for.
func demoProviderName(text string) (string, error) {
	name, err := provider.ParseName(text)
	if err != nil || !slices.Contains(provider.Names(), name) {
		return "", usagef("the demo provider does not stand in for %q: take one of %s", text, strings.Join(provider.Names(), ", "))
	}
	return name, nil
}

// shortUser is a name and an address, wherever the provider keeps them.
func shortUser(u demoprovider.User) string {
	text := func(key string) string {
		value, _ := u.Object[key].(string)
		return value
	}
	switch u.Provider {
	case provider.Clerk:
		return text("first_name") + " " + text("last_name")
	default:
		return text("name") + " <" + text("email") + ">"
	}
}

func (s *session) newDemoUsersChange(action string) *cobra.Command {
	c := demoprovider.Change{Action: action}
	use, short, example, number := action+" PROVIDER ID", "Update a user and send the webhook", " 'auth0|…' --email ada@example.org", 2
	switch action {
	case demoprovider.Create:
		use, short, example, number = "create PROVIDER", "Create a user and send the webhook", " --email ada@example.com --first-name Ada --last-name Lovelace", 1
	case demoprovider.Delete:
		short, example = "Delete a user and send the webhook", " 'auth0|…' --lose-webhook"
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Example: "  authsync demo-provider users " + action + " auth0" + example,
		Args: takes(number, number),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if c.Provider, err = demoProviderName(args[0]); err != nil {
				return err
			}
			if number == 2 {
				c.ID = args[1]
			}
			var u demoprovider.User
			if err := s.askDemoProvider(cmd.Context(), http.MethodPost, "", c, &u); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(u)
			}
			sent := "its webhook was sent"
			if !u.Sent {
				sent = "its webhook was lost"
			}
			return s.printf("%s: %s\n", printable(u.ID), sent)
		},
	}
	f := cmd.Flags()
	if action != demoprovider.Delete {
		f.StringVar(&c.Email, "email", "", "the e-mail address")
		f.StringVar(&c.FirstName, "first-name", "", "the first name")
		f.StringVar(&c.LastName, "last-name", "", "the last name")
	}
	f.BoolVar(&c.LoseWebhook, "lose-webhook", false, "do not send the webhook")
	return cmd
}

// askDemoProvider finds the demo provider by the data directory and makes a call.
func (s *session) askDemoProvider(ctx context.Context, method, query string, in, out any) error {
	c, err := s.settings()
	if err != nil {
		return err
	}
	state, err := app.ReadDemoProvider(c.DataDir)
	if err != nil {
		return err
	}
	if state == nil {
		return fmt.Errorf("no demo provider was started from %s: run authsync dev --demo-provider", c.DataDir)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, state.URL+"/users"+query, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("the demo provider does not answer at %s: run authsync dev", state.URL)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("read the answer of the demo provider: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		var refusal struct {
			Detail string `json:"detail"`
		}
		if json.Unmarshal(text, &refusal) != nil || refusal.Detail == "" {
			refusal.Detail = "it is no demo provider"
		}
		return fmt.Errorf("the demo provider answers %d: %s", answer.StatusCode, printable(refusal.Detail))
	}
	return json.Unmarshal(text, out)
}
