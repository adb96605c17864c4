package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// shells are those that cobra writes completions for, with where they go.
func shells() map[string]func(*cobra.Command) error {
	return map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(root.OutOrStdout(), true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(root.OutOrStdout()) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(root.OutOrStdout(), true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(root.OutOrStdout()) },
	}
}

func (s *session) newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a shell completion script",
		Long: `Prints a script for bash, zsh, fish or powershell that completes commands, flags
and their values: projects, providers, destinations, outcomes. Names are looked up
on the server as you type, within a second at most.`,
		Example: "  source <(authsync completion bash)                  # in this shell\n" +
			"  authsync completion zsh > \"${fpath[1]}/_authsync\"    # permanently\n" +
			"  authsync completion fish > ~/.config/fish/completions/authsync.fish",
		Args:      takes(1, 1),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := shells()[args[0]]
			if !ok {
				return usagef("%q is no shell that is known: take bash, zsh, fish or powershell", args[0])
			}
			if err := write(cmd.Root()); err != nil {
				return fmt.Errorf("write the completions: %w", err)
			}
			return nil
		},
	}
}
