package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/buildinfo"
)

func (s *session) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Long: `Prints the version, the commit and its date, and the version of Go that built
this binary.`,
		Example: "  authsync version --json",
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := buildinfo.Read()
			if s.json {
				return s.printJSON(v)
			}
			return s.printf("%s\n", v)
		},
	}
}
