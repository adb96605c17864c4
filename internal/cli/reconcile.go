package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/record"
)

func (s *session) newReconcile() *cobra.Command {
	var how following
	var order client.Order
	cmd := &cobra.Command{
		Use:   "reconcile PROJECT PROVIDER",
		Short: "Compare the mirror with the provider and repair it",
		Long: `Reads all users, organizations, memberships and invitations from the provider, reports
which are missing, different or deleted in the mirror and which exist only there, and
repairs the mirror. --dry-run only reports. Repairs are written like webhook events, so
your feeds and triggers see them.

A record the provider does not have is marked as deleted if the mirror had it before the
run began, the list was read to its end, and a separate lookup of it also finds nothing.
If that affects more than 5 % of a type (option reconcile.max_deleted_percent), or if the
list was empty or too short, none of the type is deleted: check the report, and that the
API key belongs to the right instance. --force lifts the percentage limit.

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
	cmd.Flags().BoolVar(&order.Force, "force", false, "delete what the provider does not have, however much it is")
	how.flags(cmd, "what it repaired stays")
	return cmd
}

// findings are what a reconcile finds about a record, as a person reads them.
func findings() map[string]string {
	return map[string]string{
		"missing": "missing in the mirror", "differing": "differs", "deleted": "deleted in the mirror only",
		"orphaned": "not at the provider", "placeholder": "placeholder, unknown to the provider",
	}
}

// stateWords is what happened to a record that differed.
func stateWords(state string) string {
	if state == "found" || state == "open" {
		return "left"
	}
	return state
}

// typeDrift is what was found about the records of one type.
type typeDrift struct {
	record.Definition

	drift client.TypeDrift
}

// byType returns what was found, users first.
func byType(run client.Run) []typeDrift {
	users, _ := record.Of(record.User)
	all := []typeDrift{{users, run.Drift.TypeDrift}}
	for _, d := range record.Listed() {
		if of, compared := run.Drift.Records[string(d.Type)]; compared {
			all = append(all, typeDrift{d, of.TypeDrift})
		}
	}
	return all
}

// countByType says how many records of each type there are, without those of which there are none:
// "3 users, 1 membership".
func countByType(all []typeDrift, number func(client.TypeDrift) int64) string {
	var words []string
	for _, of := range all {
		if n := number(of.drift); n > 0 {
			words = append(words, numberOf(n, of.Definition))
		}
	}
	return strings.Join(words, ", ")
}

// reportDrift prints the records that differ, and then the numbers.
func (f *follower) reportDrift(run client.Run, took time.Duration) error {
	d, all := run.Drift, byType(run)
	if err := f.reportUnlisted(run); err != nil {
		return err
	}
	differing := countByType(all, client.TypeDrift.Found)
	if differing == "" {
		if err := f.printf("Equal: %s compared in %s.\n", readWords(run), took); err != nil {
			return err
		}
		return f.reportNoDrift(run)
	}
	if err := f.reportDrifted(run); err != nil {
		return err
	}
	if err := f.printf("\n"); err != nil {
		return err
	}
	if err := f.print(driftNumbers(slices.Clone(all))); err != nil {
		return err
	}
	if err := f.reportNoDrift(run); err != nil {
		return err
	}
	for _, of := range all {
		if of.drift.DeletionsBlockedReason != nil {
			if err := f.notice("No %s was deleted: %s.", of.Type, printable(*of.drift.DeletionsBlockedReason)); err != nil {
				return err
			}
		}
	}
	users, others := readByType(run)
	has := thousands(users)
	if len(others) > 0 {
		has = readWords(run)
	}
	if run.DryRun {
		return f.printf("\nDiffering: %s; the provider has %s (%s). Nothing was changed: without --dry-run they are repaired.\n", differing, has, took)
	}
	sum := func(number func(client.TypeDrift) int64) string { return thousands(d.Total(number)) }
	return f.printf("\nDiffering: %s; the provider has %s (%s). %s repaired, %s failed, %s left as they are.\n", differing, has, took,
		sum(func(d client.TypeDrift) int64 { return d.Repaired }), sum(func(d client.TypeDrift) int64 { return d.Failed }),
		sum(func(d client.TypeDrift) int64 { return d.Left }))
}

// reportUnlisted says of which types nothing is known that the provider no longer has.
func (f *follower) reportUnlisted(run client.Run) error {
	var names []string
	for _, d := range record.Listed() {
		if run.Drift.Records[string(d.Type)].UnlistedReason != nil {
			names = append(names, d.Table)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return f.notice("The provider's list was not read to its end, so nothing is deleted of: %s.", strings.Join(names, ", "))
}

// reportDrifted prints the first records of each type that differ.
func (f *follower) reportDrifted(run client.Run) error {
	words := findings()
	users := table{head: []string{"USER", "FINDING", "STATE", "COLUMNS"}}
	for _, u := range run.Drift.Users {
		users.add(u.UserID, words[u.Finding], stateWords(u.State), orDash(strings.Join(u.Columns, ", ")))
	}
	records := table{head: []string{"RECORD", "FINDING", "STATE", "COLUMNS"}}
	for _, d := range record.Listed() {
		for _, r := range run.Drift.Records[string(d.Type)].Examples {
			records.add(string(d.Type)+"/"+r.RecordID, words[r.Finding], stateWords(r.State), orDash(strings.Join(r.Columns, ", ")))
		}
	}
	shown := 0
	for _, t := range []table{users, records} {
		if len(t.rows) == 0 {
			continue
		}
		if shown > 0 {
			if err := f.printf("\n"); err != nil {
				return err
			}
		}
		shown += len(t.rows)
		if err := f.print(t); err != nil {
			return err
		}
	}
	if more := run.Drift.Total(client.TypeDrift.Found) - int64(shown); more > 0 {
		return f.printf("… and %s more.\n", thousands(more))
	}
	return nil
}

// driftNumbers has a line for each finding and each column, and a column for each type that differs.
func driftNumbers(all []typeDrift) table {
	all = slices.DeleteFunc(all, func(of typeDrift) bool { return of.drift.Found() == 0 })
	words := findings()
	numbers := table{head: []string{""}}
	columns := map[string]bool{}
	for _, of := range all {
		numbers.head = append(numbers.head, strings.ToUpper(of.Table))
		for column := range of.drift.Columns {
			columns[column] = true
		}
	}
	line := func(name string, number func(client.TypeDrift) int64) {
		cells := []string{name}
		for _, of := range all {
			cells = append(cells, thousands(number(of.drift)))
		}
		numbers.add(cells...)
	}
	line(words["missing"], func(d client.TypeDrift) int64 { return d.Missing })
	line(words["differing"], func(d client.TypeDrift) int64 { return d.Differing })
	line(words["deleted"], func(d client.TypeDrift) int64 { return d.DeletedHere })
	line(words["orphaned"], func(d client.TypeDrift) int64 { return d.Orphaned })
	line("placeholder, unknown there", func(d client.TypeDrift) int64 { return d.Placeholders })
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		line("  in "+column, func(d client.TypeDrift) int64 { return d.Columns[column] })
	}
	return numbers
}

// reportNoDrift says what differed and is no drift.
func (f *follower) reportNoDrift(run client.Run) error {
	all := byType(run)
	if unreported := countByType(all, func(d client.TypeDrift) int64 { return d.Unreported }); unreported != "" {
		done := "they were brought up to date"
		if run.DryRun {
			done = "without --dry-run they are brought up to date"
		}
		err := f.printf("No drift: %s differ only in what the provider sends no event for, such as the last sign-in; %s.\n", unreported, done)
		if err != nil {
			return err
		}
	}
	var names []string
	for _, of := range all {
		for _, name := range slices.Sorted(maps.Keys(of.drift.Tolerated)) {
			names = append(names, fmt.Sprintf("%s (%s %s)", printable(name), thousands(of.drift.Tolerated[name]), of.Table))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return f.printf("Not compared, because only one side says it, or only for this moment: %s.\n", strings.Join(names, ", "))
}
