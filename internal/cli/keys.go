package cli

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/project"
)

func (s *session) newKeys() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "keys",
		Short: "Create, list and revoke keys of the management API",
		Long: `An API key gives access to the management API. It is shown once, when it is created.

Its role says what it may do:
  read_only  look at everything, personal data included; change nothing
  operator   also start, repeat and stop work: replay, refresh, backfill, reconcile,
             retry, cancel, pause, resume
  admin      also change settings, secrets, rights and keys, and pass guards with --force
             (default)

To create the first key of an installation, leave AUTHSYNC_API_KEY unset and set
DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY: keys create then works on the control
database directly.`,
	})
	cmd.AddCommand(s.newKeysCreate(), s.newKeysList(), s.newKeysRevoke(), s.newKeysRotateEncryption())
	return cmd
}

func (s *session) newKeysCreate() *cobra.Command {
	in := newKey{Role: project.Admin}
	var role, expires string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a key and print it once",
		Example: "  authsync keys create ops\n" +
			"  authsync keys create oncall --role operator --expires 90d\n" +
			"  authsync keys create ci --project shop --role read_only --test",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.Name, in.Role = args[0], project.Role(role)
			if !slices.Contains(project.Roles(), in.Role) {
				return usagef("--role is %q: give read_only, operator or admin", role)
			}
			if in.ExpiresAt, err = expiry(expires, s.Now()); err != nil {
				return err
			}
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
			scope := "all projects"
			if k.ProjectID != nil {
				scope = "project " + in.Project
			}
			return s.notice("This is key %s, for %s, with the role %s%s. Keep it: it is not shown again.", k.Name, scope, k.Role, until(k.ExpiresAt))
		},
	}
	cmd.Flags().StringVar(&in.Project, "project", "", "limit the key to this project (name or id)")
	cmd.Flags().StringVar(&role, "role", string(project.Admin), "what the key may do: read_only, operator or admin")
	cmd.Flags().StringVar(&expires, "expires", "", "when the key expires: a time (RFC 3339), or in how long, such as 12h, 90d or 4w; default: never")
	cmd.Flags().BoolVar(&in.Test, "test", false, "create a capy_test_ key instead of a capy_live_ one")
	return cmd
}

// until is the end of a sentence about a key.
func until(expiresAt *time.Time) string {
	if expiresAt == nil {
		return ""
	}
	return ", until " + clock(*expiresAt)
}

// expiry reads --expires. The units of a time ahead are those of the option reconcile.every; minutes would be of little use.
func expiry(text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // never
	}
	at, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return &at, nil
	}
	hours := map[byte]int{'h': 1, 'd': 24, 'w': 7 * 24}[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
	if err != nil || hours == 0 {
		return nil, usagef("--expires is %q: give a time such as 2026-01-31T12:00:00Z, or a number and h, d or w, such as 90d", text)
	}
	hours *= int(n) // a Duration would not hold the longest of them
	at = now.UTC().AddDate(0, 0, hours/24).Add(time.Duration(hours%24) * time.Hour)
	return &at, nil
}

// newKey is a key to make.
type newKey struct {
	Name      string
	Project   string
	Role      project.Role
	ExpiresAt *time.Time
	Test      bool
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
	role := string(in.Role)
	order := client.KeyOrder{Name: in.Name, Test: in.Test, Role: &role}
	if in.Project != "" {
		order.ProjectID = &in.Project
	}
	if in.ExpiresAt != nil {
		at := in.ExpiresAt.UTC().Format(time.RFC3339Nano)
		order.ExpiresAt = &at
	}
	return api.CreateKey(ctx, order)
}

func (s *session) createFirstKey(ctx context.Context, in newKey) (k client.Key, err error) {
	control, err := s.control(ctx)
	if err != nil {
		return client.Key{}, err
	}
	defer func() { err = closeControl(ctx, control, err) }()
	input := project.KeyInput{Name: in.Name, Test: in.Test, Role: in.Role, ExpiresAt: in.ExpiresAt}
	if in.Project != "" {
		p, err := control.Store.FindProject(ctx, in.Project)
		if err != nil {
			return client.Key{}, projectError(in.Project, err)
		}
		input.ProjectID = &p.ID
	}
	var key project.Key
	var secret string
	action := audit.Action{Name: "key.create", ProjectID: input.ProjectID}
	err = control.Audit.Do(ctx, origin("keys create"), action, func(r *audit.Result) (err error) {
		key, secret, err = control.Store.CreateKey(ctx, input)
		if err == nil {
			r.ObjectID, r.Changes = key.ID.String(), map[string]any{"name": in.Name, "role": string(in.Role), "test": in.Test}
		}
		return err
	})
	if err != nil {
		return client.Key{}, err
	}
	return client.Key{
		ID: key.ID.String(), Name: key.Name, Key: secret, Hint: key.Hint,
		ProjectID: text(key.ProjectID), Role: string(key.Role), CreatedAt: key.CreatedAt, ExpiresAt: key.ExpiresAt,
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
			names, err := namesByID(cmd.Context(), c)
			if err != nil {
				return err
			}
			t := table{head: []string{"NAME", "KEY", "PROJECT", "ROLE", "EXPIRES", "LAST USED", "STATE", "ID"}, none: "No keys."}
			for _, k := range keys {
				// Without capy_, which all have, and times to the day, so that a row fits into 80 columns.
				begins := strings.TrimPrefix(k.Hint, "capy_") + "…"
				limit := "all"
				if k.ProjectID != nil {
					limit = cmp.Or(names[*k.ProjectID], *k.ProjectID)
				}
				t.add(k.Name, begins, limit, k.Role, dayOr("never", k.ExpiresAt), dayOr("-", k.LastUsedAt), keyState(k, s.Now()), k.ID)
			}
			return s.print(t)
		},
	}
}

// namesByID are the names of all projects by their ids.
func namesByID(ctx context.Context, c *client.Client) (map[string]string, error) {
	projects, err := c.Projects(ctx)
	names := make(map[string]string, len(projects))
	for _, p := range projects {
		names[p.ID] = p.Name
	}
	return names, err
}

func keyState(k client.Key, now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return "expired"
	default:
		return "active"
	}
}

// dayOr writes the day of a time that may be missing.
func dayOr(missing string, t *time.Time) string {
	if t == nil {
		return missing
	}
	return day(*t)
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
