package cli

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/project"
)

func (s *session) newKeys() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "keys",
		Short: "Create, list and revoke keys of the management API",
		Long: `An API key gives access to the management API. It is shown once, when it is created.

To create the first key of an installation, leave AUTHSYNC_API_KEY unset and set
DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY: keys create then works on the control
database directly.`,
	})
	cmd.AddCommand(s.newKeysCreate(), s.newKeysList(), s.newKeysRevoke(), s.newKeysRotateEncryption())
	return cmd
}

func (s *session) newKeysCreate() *cobra.Command {
	var in newKey
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a key and print it once",
		Example: "  authsync keys create ops\n" +
			"  authsync keys create ci --project shop --test",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			k, err := s.createKey(cmd.Context(), in)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(k)
			}
			if err := s.printf("%s\n", k.Key); err != nil {
				return err
			}
			return s.notice("This is key %s, for %s. Keep it: it is not shown again.", k.Name, scope(k.ProjectID))
		},
	}
	cmd.Flags().StringVar(&in.Project, "project", "", "limit the key to this project (name or id)")
	cmd.Flags().BoolVar(&in.Test, "test", false, "create a capy_test_ key instead of a capy_live_ one")
	return cmd
}

func scope(projectID *string) string {
	if projectID == nil {
		return "all projects"
	}
	return "project " + *projectID
}

// newKey is a key to make.
type newKey struct {
	Name    string
	Project string
	Test    bool
}

// createKey makes a key through the API, or on the control database where the
// environment has access to that but no key yet.
func (s *session) createKey(ctx context.Context, in newKey) (client.Key, error) {
	c, err := s.settings()
	if err != nil {
		return client.Key{}, err
	}
	if c.APIKey == "" && c.DatabaseURL != "" && c.EncryptionKey != "" {
		return s.createFirstKey(ctx, in)
	}
	api, err := s.client()
	if err != nil {
		return client.Key{}, err
	}
	return api.CreateKey(ctx, in.Name, in.Project, in.Test)
}

func (s *session) createFirstKey(ctx context.Context, in newKey) (k client.Key, err error) {
	control, err := s.control(ctx)
	if err != nil {
		return client.Key{}, err
	}
	defer func() { err = closeControl(ctx, control, err) }()
	input := project.KeyInput{Name: in.Name, Test: in.Test}
	if in.Project != "" {
		p, err := control.Store.FindProject(ctx, in.Project)
		if err != nil {
			return client.Key{}, projectError(in.Project, err)
		}
		input.ProjectID = &p.ID
	}
	key, secret, err := control.Store.CreateKey(ctx, input)
	if err != nil {
		return client.Key{}, err
	}
	return client.Key{
		ID: key.ID.String(), Name: key.Name, Key: secret, Hint: key.Hint,
		ProjectID: text(key.ProjectID), CreatedAt: key.CreatedAt,
	}, nil
}

func text(id *uuid.UUID) *string {
	if id == nil {
		return nil
	}
	s := id.String()
	return &s
}

func (s *session) newKeysList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys without their secrets",
		Example: "  authsync keys list --json",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			keys, err := c.Keys(cmd.Context())
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(keys)
			}
			t := table{head: []string{"NAME", "BEGINS WITH", "FOR", "CREATED", "LAST USED", "STATE", "ID"}, none: "No keys."}
			for _, k := range keys {
				t.add(k.Name, k.Hint, scope(k.ProjectID), day(k.CreatedAt), shortClockOrDash(k.LastUsedAt), keyState(k), k.ID)
			}
			return s.print(t)
		},
	}
}

func keyState(k client.Key) string {
	if k.RevokedAt != nil {
		return "revoked"
	}
	return "active"
}

func clockOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return clock(*t)
}

func (s *session) newKeysRevoke() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "Revoke a key immediately and permanently",
		Example: "  authsync keys revoke 3f2c8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f61",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.confirm(yes, "Whoever uses key "+args[0]+" is refused from now on"); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if err := c.Do(cmd.Context(), http.MethodDelete, "/keys/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(map[string]bool{"revoked": true})
			}
			return s.printf("Revoked key %s.\n", args[0])
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}

// control opens the control database with the key that opens the credentials in it.
func (s *session) control(ctx context.Context) (*app.Control, error) {
	databaseURL, key, err := s.sealed()
	if err != nil {
		return nil, err
	}
	return app.OpenControl(ctx, databaseURL, key, controlConns, slog.New(slog.DiscardHandler))
}

const controlConns = 3
