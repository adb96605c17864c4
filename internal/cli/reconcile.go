package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newReconcile() *cobra.Command {
	var how following
	var order client.Order
	cmd := &cobra.Command{
		Use:   "reconcile PROJECT PROVIDER",
		Short: "Compare the mirror with the provider and repair it",
		Long: `Reads all users from the provider, reports which are missing, different or deleted in
the mirror and which exist only there, and repairs the mirror. --dry-run only reports.
Repairs are written like webhook events, so your feeds and triggers see them.
Organizations, memberships and invitations are brought up to date as the provider
lists them; what it no longer lists is left as it is. --dry-run skips them.

A user the provider does not have is marked as deleted if the mirror had the user
before the run began and a separate lookup of the user also finds nothing. If that
affects more than 5 % of the users (option reconcile.max_deleted_percent), or if the
list was empty or too short, nobody is deleted: check the report, and that the API key
belongs to the right instance. --force lifts the percentage limit.

To run it regularly:
  authsync integrations set PROJECT PROVIDER --option reconcile.every=24h

The server does the work: Ctrl-C leaves it running. The exit status is 0 only if the
mirror equals the provider at the end, so --dry-run can monitor drift.`,
		Example: "  authsync reconcile shop clerk --dry-run\n" +
			"  authsync reconcile shop clerk\n" +
			"  authsync reconcile shop auth0 --status --json",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd.Context(), args, client.Reconcile, &order, how)
		},
	}
	cmd.Flags().BoolVar(&order.DryRun, "dry-run", false, "report differences, change nothing")
	cmd.Flags().BoolVar(&order.Force, "force", false, "delete users the provider does not have, whatever their number")
	how.flags(cmd, "what it repaired stays")
	return cmd
}

// findings are what a reconcile finds about a user, as a person reads them.
func findings() map[string]string {
	return map[string]string{
		"missing": "missing in the mirror", "differing": "differs", "deleted": "deleted in the mirror only",
		"orphaned": "not at the provider", "placeholder": "placeholder, unknown to the provider",
	}
}

// stateWords is what became of a user that differed.
func stateWords(state string) string {
	if state == "found" || state == "open" {
		return "left"
	}
	return state
}

// reportDrift prints the users that differ, and then the numbers.
func (f *follower) reportDrift(run client.Run, took time.Duration) error {
	d := run.Drift
	found := d.Missing + d.Differing + d.DeletedHere + d.Orphaned + d.Placeholders
	read, others := readByType(run)
	if len(others) > 0 {
		if err := f.printf("Read and brought up to date, but not compared: %s.\n", strings.Join(others, ", ")); err != nil {
			return err
		}
	}
	if found == 0 {
		if err := f.printf("Equal: %s users compared in %s.\n", thousands(read), took); err != nil {
			return err
		}
		return f.reportNoDrift(run)
	}
	words := findings()
	users := table{head: []string{"USER", "FINDING", "STATE", "COLUMNS"}}
	for _, u := range d.Users {
		users.add(u.UserID, words[u.Finding], stateWords(u.State), orDash(strings.Join(u.Columns, ", ")))
	}
	if err := f.print(users); err != nil {
		return err
	}
	if more := found - int64(len(d.Users)); more > 0 {
		if err := f.printf("… and %s more.\n", thousands(more)); err != nil {
			return err
		}
	}
	numbers := table{head: []string{"", "USERS"}}
	for _, n := range []struct {
		name  string
		users int64
	}{
		{words["missing"], d.Missing},
		{words["differing"], d.Differing},
		{words["deleted"], d.DeletedHere},
		{words["orphaned"], d.Orphaned},
		{words["placeholder"], d.Placeholders},
	} {
		numbers.add(n.name, thousands(n.users))
	}
	for _, column := range slices.Sorted(maps.Keys(d.Columns)) {
		numbers.add("  in "+column, thousands(d.Columns[column]))
	}
	if err := f.printf("\n"); err != nil {
		return err
	}
	if err := f.print(numbers); err != nil {
		return err
	}
	if err := f.reportNoDrift(run); err != nil {
		return err
	}
	if d.DeletionsBlockedReason != nil {
		if err := f.notice("No user was deleted: %s.", printable(*d.DeletionsBlockedReason)); err != nil {
			return err
		}
	}
	if run.DryRun {
		return f.printf("\nDiffering: %s users; the provider has %s (%s). Nothing was changed: without --dry-run they are repaired.\n",
			thousands(found), thousands(read), took)
	}
	return f.printf("\nDiffering: %s users; the provider has %s (%s). %s repaired, %s failed, %s left as they are.\n",
		thousands(found), thousands(read), took, thousands(d.Repaired), thousands(d.Failed), thousands(d.Left))
}

// reportNoDrift says what differed and is no drift.
func (f *follower) reportNoDrift(run client.Run) error {
	d := run.Drift
	if d.Unreported > 0 {
		done := "they were brought up to date"
		if run.DryRun {
			done = "without --dry-run they are brought up to date"
		}
		err := f.printf("No drift: %s users differ only in what the provider sends no event for, such as the last sign-in; %s.\n", thousands(d.Unreported), done)
		if err != nil {
			return err
		}
	}
	if len(d.Tolerated) == 0 {
		return nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(d.Tolerated)) {
		names = append(names, fmt.Sprintf("%s (%s users)", printable(name), thousands(d.Tolerated[name])))
	}
	return f.printf("Not compared, because only one side says it, or only for this moment: %s.\n", strings.Join(names, ", "))
}
