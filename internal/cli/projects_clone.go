package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newProjectsClone() *cobra.Command {
	from := source{flag: "database-url"}
	var adopt, still, noWait bool
	cmd := &cobra.Command{
		Use:   "clone PROJECT NAME",
		Short: "Make a project with a copy of another one's mirror",
		Long: `Makes project NAME, whose mirror is copied from the mirror of PROJECT: all records, with
what orders their events, the ledger and the change feed. No provider is asked. From then
on the clone follows: what changes in PROJECT changes in it. With --still it stays as it
was copied.

A clone is for a preview branch or a staging environment. It has no integrations, no
webhook URL and no destinations: nothing is sent from it unless you add a destination.

The database is given as for projects create; without one, authsync creates it. It must
be empty, or have an earlier clone of PROJECT. Use --adopt for a copy of PROJECT's own
database, such as a branch of it: what PROJECT does not have is removed from its mirror.

The server copies. Ctrl-C ends only the watching; the same command watches again, and
authsync projects detach ends the copying.`,
		Example: "  authsync projects clone shop preview-42 --database-url-env PREVIEW_DATABASE_URL\n" +
			"  authsync projects clone shop preview-42 --database-url-env BRANCH_DATABASE_URL --adopt\n" +
			"  authsync projects clone shop load-test --still",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if adopt && !from.given() {
				return usagef("--adopt is for a database that has a mirror: give it with --database-url-file or --database-url-env")
			}
			mode := client.CloneFollowing
			if still {
				mode = client.CloneStill
			}
			in := map[string]any{"name": args[1], "clone_of": client.CloneOf{Project: args[0], Mode: mode}}
			if from.given() {
				databaseURL, err := s.read(from)
				if err != nil {
					return err
				}
				in["database_url"], in["adopt"] = databaseURL, adopt
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			p, err := s.makeClone(cmd.Context(), c, args[0], args[1], in)
			if err != nil {
				return err
			}
			if p.Clone != nil && p.Clone.Mode != mode {
				return otherMode(p, still)
			}
			return s.followClone(cmd.Context(), c, p, noWait)
		},
	}
	cmd.Flags().StringVar(&from.file, "database-url-file", "", "file with the database's connection URL; - is standard input")
	cmd.Flags().StringVar(&from.env, "database-url-env", "", "environment variable with the database's connection URL")
	cmd.Flags().BoolVar(&adopt, "adopt", false, "use a database that has a mirror: a copy of the project's database, or a mirror of no project")
	cmd.Flags().BoolVar(&still, "still", false, "copy once and do not follow")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return immediately, before anything is copied")
	return cmd
}

// otherMode refuses to show as done what was asked of a clone that exists already, in the other mode.
func otherMode(p client.Project, still bool) error {
	is, flag := "stands still", "--follow"
	if still {
		is, flag = "follows "+p.Clone.SourceName, "--still"
	}
	return fmt.Errorf("nothing was changed: project %[1]s %[2]s: authsync projects resync %[1]s %[3]s changes that", p.Name, is, flag)
}

// makeClone makes a clone, or finds the one that an earlier run of the same command has made.
func (s *session) makeClone(ctx context.Context, c *client.Client, source, name string, in map[string]any) (client.Project, error) {
	var p client.Project
	conflict := c.Do(ctx, http.MethodPost, "/projects", in, &p)
	if conflict != nil && ctx.Err() != nil {
		return p, errors.Join(s.notice("\nThe server has not answered yet. If it makes the clone nevertheless, the same command shows how far it is."), errReported)
	}
	if client.Status(conflict) != http.StatusConflict {
		return p, conflict
	}
	p, err := c.Project(ctx, name)
	if err != nil {
		return p, conflict
	}
	if p.Clone == nil || p.Clone.SourceID == nil || p.Clone.SourceName != source && *p.Clone.SourceID != source {
		return p, conflict
	}
	return p, s.notice("Project %s is a clone of %s already: this command shows that one.", p.Name, p.Clone.SourceName)
}

func (s *session) newProjectsResync() *cobra.Command {
	var still, follow, noCopy, noWait bool
	cmd := &cobra.Command{
		Use:   "resync CLONE",
		Short: "Copy a clone's mirror once more, or change whether it follows",
		Long: `Copies the mirror of a clone once more from its source, in full: rows that differ are
corrected, and rows that the source does not have are removed. Then the clone follows or
stands still as before, unless --follow or --still says otherwise.

A clone that follows has every change of a value. The full copy also brings the clocks of
events that changed no value, and the ledger of processed events. So one that is to stand
still, for instance to get an integration of its own, is copied before it does; --no-copy
leaves that out.`,
		Example: "  authsync projects resync preview-42\n" +
			"  authsync projects resync preview-42 --still",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case still && follow:
				return usagef("give one of --still and --follow")
			case noCopy && !still:
				return usagef("--no-copy is for --still: a clone that follows is copied first")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			var order client.CloneOrder
			switch {
			case still:
				order.Mode = client.CloneStill
			case follow:
				order.Mode = client.CloneFollowing
			}
			if noCopy {
				copying := false
				order.Copy = &copying
			}
			p, err := c.SetClone(cmd.Context(), args[0], order)
			if err != nil {
				return err
			}
			return s.followClone(cmd.Context(), c, p, noWait)
		},
	}
	cmd.Flags().BoolVar(&still, "still", false, "stand still afterwards")
	cmd.Flags().BoolVar(&follow, "follow", false, "follow the source afterwards")
	cmd.Flags().BoolVar(&noCopy, "no-copy", false, "with --still: stop at once, without copying")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return immediately, before anything is copied")
	return cmd
}

// followClone shows how a clone is copied until it has caught up, or ctx ends.
func (s *session) followClone(ctx context.Context, c *client.Client, p client.Project, noWait bool) error {
	show, poll := s.plainClone(), pollPlain
	if columns, ok := s.terminal(); ok && !s.json {
		poll = pollTerminal
		show = func(p client.Project) error {
			return s.printf("\r\x1b[K%s", shorten(cloneProgress(p.Clone, barCells), columns-1))
		}
		if !noWait {
			defer func() { _ = s.printf("\n") }()
		}
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for answered := s.Now(); !noWait && p.Clone != nil && p.Clone.State == client.CloneCopying; {
		if err := show(p); err != nil {
			return err
		}
		left := func() error {
			return errors.Join(s.notice("\nThe server goes on copying. To look again: authsync projects get %s\nTo end it: authsync projects detach %[1]s", p.Name), errReported)
		}
		select {
		case <-ctx.Done():
			return left()
		case <-ticker.C:
		}
		next, err := c.Project(ctx, p.ID)
		switch {
		case err == nil:
			p, answered = next, s.Now()
		case ctx.Err() != nil:
			return left()
		case client.Status(err) != 0 && client.Status(err) != http.StatusServiceUnavailable, s.Now().Sub(answered) > serverAway:
			return err
		}
	}
	if s.json {
		return s.printJSON(p)
	}
	if p.Clone == nil {
		return s.printProjects(p)
	}
	return s.printf("%sProject %s %s.\n", s.overLine(noWait), p.Name, printable(p.Clone.Summary))
}

// overLine clears the line of the progress, where there is one.
func (s *session) overLine(noWait bool) string {
	if _, ok := s.terminal(); ok && !noWait {
		return "\r\x1b[K"
	}
	return ""
}

// plainClone writes a line now and then, on standard error.
func (s *session) plainClone() func(client.Project) error {
	written := time.Time{}
	return func(p client.Project) error {
		now := s.Now()
		if now.Sub(written) < plainEvery {
			return nil
		}
		written = now
		return s.notice("%s", cloneProgress(p.Clone, 0))
	}
}

// cloneProgress says in a line how far a clone is, with a bar of so many cells where the total is known.
func cloneProgress(c *client.Clone, cells int) string {
	parts := []string{c.State}
	if c.CopiedAt == nil && c.RowsExpected != nil && *c.RowsExpected > 0 && cells > 0 {
		full := int(min(float64(c.RowsCopied)/float64(*c.RowsExpected), 1) * float64(cells))
		parts = append(parts, "["+strings.Repeat("#", full)+strings.Repeat("-", cells-full)+"]")
	}
	parts = append(parts, thousands(c.RowsCopied)+" rows", thousands(c.ChangesCopied)+" changes")
	if c.ChangesBehind != nil && *c.ChangesBehind > 0 {
		parts = append(parts, thousands(*c.ChangesBehind)+" behind")
	}
	if c.WaitReason != nil {
		parts = append(parts, "waits: "+printable(*c.WaitReason))
	}
	return strings.Join(parts, "  ")
}
