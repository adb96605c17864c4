package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/record"
)

func (s *session) newErase() *cobra.Command {
	var yes, wait bool
	cmd := &cobra.Command{
		Use:   "erase PROJECT USER",
		Short: "Erase a person: remove all data, everywhere",
		Long: `Removes everything that is stored of one person: the user with its memberships,
sessions and the invitations to its addresses; the change feed, the ledger, received
messages, outcomes of events and deliveries. It is passed on to every destination as
user.erased, which holds the id and nothing else; HubSpot erases the contact. A
tombstone, which is a digest, keeps late events, replays, backfills and reconciles from
bringing the person back. It cannot be undone.

An erasure is a job: it goes on if the server is restarted, and waits up to 7 days for
destinations that are paused or failing. What is left of it is a receipt without
personal data: authsync erasures get.

It does not delete the user at the provider: do that first. Somebody who signs up again
with the same address has another id, and is a new user. USER is an id, or the address
of a single user.`,
		Example: "  authsync erase shop 'auth0|5f7c8ec7c33c6c004bbafe82'\n" +
			"  authsync erase shop ada.lovelace@example.com --yes --wait --json",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			id, err := s.userToErase(cmd.Context(), c, args[0], args[1])
			if err != nil {
				return err
			}
			if err := s.confirm(yes, fmt.Sprintf("Everything about user %s is removed from project %s and cannot be restored", printable(id), printable(args[0]))); err != nil {
				return err
			}
			e, err := c.EraseUser(cmd.Context(), args[0], id)
			if err == nil && wait {
				e, err = awaitErasure(cmd.Context(), c, args[0], e)
			}
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(e)
			}
			return s.printErasure(args[0], e)
		},
	}
	yesFlag(cmd, &yes)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is done")
	return cmd
}

// userToErase is findUser, but an address that no user has is no id: a tombstone for a misspelt one would look like the erasure
// of the person. Of ids, only those of enterprise connections have an address behind a |.
func (s *session) userToErase(ctx context.Context, c *client.Client, project, idOrEmail string) (string, error) {
	id, err := s.findUser(ctx, c, project, idOrEmail)
	if err != nil || id != idOrEmail || !strings.Contains(id, "@") || strings.Contains(id, "|") {
		return id, err
	}
	_, err = c.Record(ctx, project, string(record.User), id)
	if client.Status(err) == http.StatusNotFound {
		return "", fmt.Errorf("project %s has no user with the address %s, and nothing was erased: give the user's id; "+
			"authsync users list %[1]s shows those there are", project, quoted(id))
	}
	return id, err
}

// awaitErasure returns an erasure once it is done.
func awaitErasure(ctx context.Context, c *client.Client, project string, e client.Erasure) (client.Erasure, error) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var err error
	for err == nil && e.FinishedAt == nil {
		select {
		case <-look.C:
			e, err = c.Erasure(ctx, project, e.ID)
		case <-ctx.Done():
			return e, context.Cause(ctx)
		}
	}
	return e, err
}

func (s *session) newErasures() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "erasures",
		Short: "List erasures and their receipts",
		Long: `Lists who was erased, by digest, or shows one erasure: how far it is, what was removed,
and what each destination answered. authsync erase begins one.`,
	})
	cmd.AddCommand(s.newErasuresList(), s.newErasuresGet())
	return cmd
}

func (s *session) newErasuresList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list PROJECT",
		Short:   "List erasures, the newest first",
		Example: "  authsync erasures list shop\n  authsync erasures list shop --limit 10 --json",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			all, err := c.Erasures(cmd.Context(), args[0], limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(all)
			}
			t := table{head: []string{"ERASURE", "DIGEST", "STATE", "REQUESTED", "FINISHED", "WAITS FOR"}, none: "No erasures."}
			for _, e := range all {
				t.add(e.ID, e.Digest[:min(len(e.Digest), 12)], e.State, clock(e.RequestedAt), clockOrDash(e.FinishedAt), orNull(e.WaitReason))
			}
			return s.print(t)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many erasures")
	return cmd
}

func (s *session) newErasuresGet() *cobra.Command {
	return &cobra.Command{
		Use:     "get PROJECT ID",
		Short:   "Show one erasure: its progress, or its receipt",
		Example: "  authsync erasures get shop 0b9f4c1e-6a53-4a5c-9d5e-3f7c0a8f2d11 --json",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			e, err := c.Erasure(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(e)
			}
			return s.printErasure(args[0], e)
		},
	}
}

// printErasure prints an erasure as a receipt.
func (s *session) printErasure(project string, e client.Erasure) error {
	facts := []struct{ name, value string }{
		{"erasure", e.ID},
		{"digest", e.Digest},
		{"requested by", e.RequestedBy},
		{"requested", clock(e.RequestedAt)},
		{"state", e.State + ", " + e.Phase},
		{"finished", clockOrDash(e.FinishedAt)},
	}
	if e.WaitReason != nil {
		facts = append(facts, struct{ name, value string }{"waits for", *e.WaitReason})
	}
	for _, f := range facts {
		if err := s.printf("%-13s %s\n", f.name, printable(f.value)); err != nil {
			return err
		}
	}
	rows := table{head: []string{"TABLE", "ROWS"}}
	for _, name := range slices.Sorted(maps.Keys(e.Counts)) {
		rows.add(name, strconv.FormatInt(e.Counts[name], 10))
	}
	told := table{head: []string{"DESTINATION", "TYPE", "STATE", "STATUS", "AT", "WHY"}}
	for _, d := range e.Destinations {
		status := "-"
		if d.Status != nil {
			status = strconv.Itoa(*d.Status)
		}
		told.add(d.Name, d.Type, d.State, status, clockOrDash(d.At), orNull(d.Reason))
	}
	clones := table{head: []string{"CLONE", "ERASURE", "STATE", "FINISHED", "WAITS FOR"}}
	for _, c := range e.Clones {
		clones.add(c.Project, c.ErasureID, c.State, clockOrDash(c.FinishedAt), orNull(c.WaitReason))
	}
	for _, t := range []struct {
		table

		has bool
	}{{rows, len(e.Counts) > 0}, {told, len(e.Destinations) > 0}, {clones, len(e.Clones) > 0}} {
		if !t.has {
			continue
		}
		if err := s.printf("\n"); err != nil {
			return err
		}
		if err := s.print(t.table); err != nil {
			return err
		}
	}
	if e.FinishedAt == nil {
		return s.printf("\nauthsync erasures get %s %s shows how it goes on.\n", quoted(project), e.ID)
	}
	return nil
}
