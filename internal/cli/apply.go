package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/configfile"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newApply() *cobra.Command {
	var file string
	var setSecrets, prune, yes bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the server what a configuration file says",
		Long: `Creates and changes projects, integrations and destinations until they are what the
file says, and prints each change. A second run changes nothing. After an error, or when
it was interrupted, run it again: it goes on with what is left.

Secrets are read from where the file says; paths are relative to its directory. A secret
is sent only if none is set on the server, since what is set cannot be compared.
--set-secrets sends all of them, which is necessary after you have changed one, and when
options lead to another host. If any is missing, all that are missing are named and
nothing is changed. What the server generates, such as the signing secret of a webhook,
is printed once.

--prune deletes the integrations and destinations that the file's projects have on the
server and not in the file. Projects are never deleted: authsync projects detach.`,
		Example: "  authsync apply -f authsync.yaml\n" +
			"  authsync apply -f authsync.yaml --set-secrets\n" +
			"  authsync apply -f authsync.yaml --prune --yes",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, a, err := s.plan(cmd.Context(), file)
			if err != nil {
				return err
			}
			report := applied{Done: []configfile.Done{}, NotDone: []configfile.Change{}, NotInFile: []configfile.Change{}}
			a.SetSecrets, a.Prune = setSecrets, prune
			a.Done = func(done configfile.Done) error {
				report.Done = append(report.Done, done)
				return s.printDone(done)
			}
			a.Waits = func(line string) error { return s.notice("%s.", printable(line)) }
			steps := a.Steps(plan)
			if err := s.confirmPrune(yes, steps); err != nil {
				return err
			}
			for _, change := range plan.Changes {
				if change.Action == configfile.NotInFile && !prune {
					report.NotInFile = append(report.NotInFile, change)
				}
			}
			left, failed := a.Apply(cmd.Context(), steps)
			report.NotDone = append(report.NotDone, left...)
			if err := s.printApplied(report); err != nil {
				return err
			}
			return failed
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&setSecrets, "set-secrets", false, "send all secrets of the file, also those that are set")
	cmd.Flags().BoolVar(&prune, "prune", false, "delete integrations and destinations that the file's projects lack")
	yesFlag(cmd, &yes)
	return cmd
}

// applied is what apply prints with --json.
type applied struct {
	Done      []configfile.Done   `json:"done"`
	NotDone   []configfile.Change `json:"not_done"`
	NotInFile []configfile.Change `json:"not_in_file"`
}

func (s *session) confirmPrune(yes bool, steps []configfile.Change) error {
	meanings := map[string]string{
		configfile.IntegrationObject: "webhooks of a deleted integration are refused",
		configfile.DestinationObject: "what waits for a deleted destination is never sent",
	}
	var gone, means []string
	for _, step := range steps {
		if step.Action == configfile.Delete {
			gone, means = append(gone, step.Title()), append(means, meanings[step.Object])
		}
	}
	if len(gone) == 0 {
		return nil
	}
	means = slices.Compact(slices.Sorted(slices.Values(means)))
	return s.confirm(yes, "--prune deletes "+strings.Join(gone, ", ")+": "+strings.Join(means, ", and "))
}

// printDone prints a change as soon as it is made.
func (s *session) printDone(done configfile.Done) error {
	if s.json {
		return nil // it is in the report
	}
	verb := map[string]string{configfile.Create: "Created", configfile.Update: "Changed", configfile.Delete: "Deleted"}[done.Action]
	if err := s.printf("%s %s.\n", verb, configfile.Title(done.Object, done.Project, done.Name)); err != nil {
		return err
	}
	if done.WebhookReceiver != "" {
		if err := s.printf("  Point %s at: %s\n", provider.Title(done.Name), done.WebhookReceiver); err != nil {
			return err
		}
	}
	for _, note := range done.Notes {
		if err := s.printf("  Note: %s.\n", printable(note)); err != nil {
			return err
		}
	}
	return s.printSecret(done.Secret)
}

func (s *session) printApplied(report applied) error {
	if s.json {
		return s.printJSON(report)
	}
	for _, change := range report.NotInFile {
		if err := s.printf("Left %s, which is not in the file: --prune deletes it.\n", change.Title()); err != nil {
			return err
		}
	}
	for i, change := range report.NotDone {
		if i == 0 {
			if err := s.printf("Not done:\n"); err != nil {
				return err
			}
		}
		if err := s.printf("  %s %s\n", change.Action, change.Title()); err != nil {
			return err
		}
	}
	switch {
	case len(report.Done)+len(report.NotDone) > 0:
		return nil
	case len(report.NotInFile) > 0:
		return s.printf("Nothing else differs.\n")
	default:
		return s.printf("Nothing to do: the server is what the file says.\n")
	}
}
