package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/configfile"
)

func (s *session) newExport() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export [PROJECT...]",
		Short: "Write projects and their settings as a configuration file",
		Long: `Writes projects with their integrations and destinations as YAML, for version control,
authsync plan and authsync apply. All projects, if none is named.

Secrets are never written. Each one that is set appears as a reference, such as
{env: SHOP_CLERK_SECRET_KEY}, and whoever applies the file provides it there, or in a
file: {file: secrets/clerk}. The database URL is a secret as well. Options are written
as they are: the headers of a webhook, for instance, are no place for a secret.

The format is in docs/config-as-code.md.`,
		Example: "  authsync export shop -o authsync.yaml\n" +
			"  authsync export > authsync.yaml",
		Args: takes(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			f, notes, err := configfile.Load(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			text, err := configfile.Marshal(f)
			if err != nil {
				return err
			}
			if err := s.writeExport(f, text, output); err != nil {
				return err
			}
			for _, note := range notes {
				if err := s.notice("Note: %s.", printable(note)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, which must not exist; default: standard output")
	yamlFlag(cmd, "output")
	return cmd
}

// yamlFlag lets a shell complete the names of YAML files.
func yamlFlag(cmd *cobra.Command, name string) {
	if err := cmd.MarkFlagFilename(name, "yaml", "yml"); err != nil {
		panic(err) // there is no such flag, which is a bug
	}
}

// writeExport writes no file twice: somebody may have changed it since.
func (s *session) writeExport(f configfile.File, text []byte, output string) error {
	if output == "" {
		if s.json {
			return s.printJSON(f)
		}
		_, err := s.Out.Write(text)
		return err
	}
	file, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // it has no secrets, and is to be shared
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--output: %s exists: name another file, or remove that one first", output)
	}
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	if s.json {
		return s.printJSON(map[string]string{"file": output})
	}
	return s.printf("Wrote %s. Compare it with a server: authsync plan -f %s\n", output, output)
}
