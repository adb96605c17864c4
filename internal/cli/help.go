package cli

import (
	"fmt"
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

// fitHelp wraps the help of all commands at the width of the terminal; 0 leaves it as it is. Examples stay whole.
func fitHelp(root *cobra.Command, width int) {
	if width == 0 {
		return
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", width)))
	var fit func(cmd *cobra.Command)
	fit = func(cmd *cobra.Command) {
		cmd.Long = wrapped(cmd.Long, width)
		for _, sub := range cmd.Commands() {
			fit(sub)
		}
	}
	fit(root)
}

// wrapped breaks the lines of a text anew where one of a paragraph is too long. Indented lines stay lines of their own.
func wrapped(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		lines := strings.Split(paragraph, "\n")
		fits := true
		for _, line := range lines {
			fits = fits && columns(line) <= width
		}
		if fits {
			continue
		}
		var out, flowing []string
		flow := func() {
			out = append(out, filled(strings.Fields(strings.Join(flowing, " ")), width)...)
			flowing = nil
		}
		for _, line := range lines {
			if strings.HasPrefix(line, " ") {
				flow()
				out = append(out, hanging(line, width)...)
				continue
			}
			flowing = append(flowing, line)
		}
		flow()
		paragraphs[i] = strings.Join(out, "\n")
	}
	return strings.Join(paragraphs, "\n\n")
}

// hanging breaks an indented line, which goes on below its last column. A command stays whole.
func hanging(line string, width int) []string {
	if columns(line) <= width || strings.HasPrefix(line, "  authsync ") {
		return []string{line}
	}
	indent := strings.LastIndex(strings.TrimRight(line, " "), "  ") + len("  ")
	broken := filled(strings.Fields(line[indent:]), width-columns(line[:indent]))
	for i := range broken {
		if i == 0 {
			broken[i] = line[:indent] + broken[i]
		} else {
			broken[i] = strings.Repeat(" ", columns(line[:indent])) + broken[i]
		}
	}
	return broken
}

// filled puts words into lines.
func filled(words []string, width int) (lines []string) {
	line := ""
	for _, word := range words {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
