package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// newHelp is authsync help, which tells what is no command; cobra's own succeeds there.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show how a command is used",
		Example: "  authsync help send\n  authsync help destinations create",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 && found.HasSubCommands() {
				return unknownCommand(found, args[len(args)-max(len(rest), 1)])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			found, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range found.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return beginningWith(names, begun), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// unknownCommand suggests what is near.
func unknownCommand(of *cobra.Command, name string) error {
	hint := "see " + of.CommandPath() + " --help"
	if near := of.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%q is no command of %s: %s", name, of.CommandPath(), hint)
}

// withExamples gives each command that only holds others the first examples of those.
func withExamples(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		withExamples(sub)
		if cmd.Example != "" && len(strings.Split(cmd.Example, "\n")) >= maxExamples || !sub.IsAvailableCommand() {
			continue
		}
		first, _, _ := strings.Cut(sub.Example, "\n")
		if strings.Contains(first, " "+sub.Name()) && !strings.HasSuffix(first, `\`) {
			cmd.Example = strings.TrimPrefix(cmd.Example+"\n"+first, "\n")
		}
	}
}

const maxExamples = 3
