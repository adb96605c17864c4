package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/config"
)

func (s *session) newConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print all settings, their values and meanings",
		Long: `Prints every environment variable that authsync reads, its effective value and
its meaning. Secrets print as ***; each can be in a file instead, which NAME_FILE
names. Fails if a value is invalid, so it can check the environment of a deployment
before serve runs in it.`,
		Example: "  authsync config\n  AUTHSYNC_ROLES=worker authsync config --json",
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, err := config.Load(s.Lookup)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(c.Table())
			}
			t := table{head: []string{"NAME", "VALUE", "MEANING"}}
			for _, row := range c.Table() {
				value := row.Value
				switch {
				case value == "":
					value = "-"
				case !row.Set:
					value += " (default)"
				}
				t.add(row.Name, value, row.Doc)
			}
			return s.print(t)
		},
	}
}
