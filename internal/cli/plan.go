package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/configfile"
)

func (s *session) newPlan() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Compare a configuration file with the server",
		Long: `Shows what authsync apply would do to make the server what the file says, and what the
server has beside it. It changes nothing and needs none of the secrets.

Secrets cannot be read back, so one that is set cannot be compared with yours. It counts
as equal; authsync apply --set-secrets sends it.

The exit status is 0 if server and file are equal, 2 if they differ, and 1 after an error.
(It is 2 for a command that was spelled wrong, too: then nothing is on standard output.)
What the file's projects have on the server and not in the file is a difference; other
projects are not.`,
		Example: "  authsync plan -f authsync.yaml\n" +
			"  authsync plan -f authsync.yaml --json | jq '.changes[] | select(.action != \"unchanged\")'",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, _, err := s.plan(cmd.Context(), file)
			if err != nil {
				return err
			}
			if s.json {
				err = s.printJSON(plan)
			} else {
				err = s.printPlan(plan)
			}
			if err == nil && !plan.Equal() {
				return errDiffers
			}
			return err
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "authsync.yaml", "configuration file; - is standard input")
	yamlFlag(cmd, "file")
}

// plan compares a configuration file with the server. apply is what makes the changes.
func (s *session) plan(ctx context.Context, name string) (p configfile.Plan, apply configfile.Applier, err error) {
	file, dir, err := s.readConfig(name)
	if err != nil {
		return p, apply, err
	}
	c, err := s.client()
	if err != nil {
		return p, apply, err
	}
	server, err := configfile.LoadFor(ctx, c, file)
	if err != nil {
		return p, apply, err
	}
	p, err = configfile.Compare(file, server)
	return p, configfile.Applier{Client: c, Lookup: s.Lookup, Dir: dir}, err
}

// readConfig reads a configuration file, or standard input (-). dir is where the paths in it begin.
func (s *session) readConfig(name string) (f configfile.File, dir string, err error) {
	var text []byte
	if name == "-" {
		dir = "."
		text, err = io.ReadAll(s.In)
	} else {
		dir = filepath.Dir(name)
		text, err = os.ReadFile(name) //nolint:gosec // the user names the file
	}
	if errors.Is(err, fs.ErrNotExist) {
		return configfile.File{}, "", fmt.Errorf("--file: there is no %s: authsync export -o %[1]s writes one", name)
	}
	if err != nil {
		return configfile.File{}, "", fmt.Errorf("--file: %w", err)
	}
	f, err = configfile.Read(named(name), text)
	return f, dir, err
}

func (s *session) printPlan(p configfile.Plan) error {
	marks := map[string]string{configfile.Create: "+", configfile.Update: "~", configfile.Unchanged: " ", configfile.NotInFile: "-"}
	var b strings.Builder
	counts, unknown := map[string]int{}, 0
	for _, change := range p.Changes {
		counts[change.Action]++
		fmt.Fprintf(&b, "%s %s%s\n", marks[change.Action], change.Title(), map[string]string{
			configfile.Unchanged: ": unchanged", configfile.NotInFile: ": not in the file",
		}[change.Action])
		for _, setting := range change.Settings {
			b.WriteString(s.fit("    " + printable(setting.Name+": "+shownSetting(setting))))
		}
		for _, secret := range change.Secrets {
			if secret.State == configfile.Set {
				unknown++
			}
			if change.Action != configfile.Unchanged {
				b.WriteString(s.fit("    " + printable(secret.Name+": "+shownSecret(secret))))
			}
		}
	}
	fmt.Fprintf(&b, "\n%d to create, %d to change, %d unchanged, %d not in the file.\n",
		counts[configfile.Create], counts[configfile.Update], counts[configfile.Unchanged], counts[configfile.NotInFile])
	if unknown > 0 {
		fmt.Fprintf(&b, "Secrets that are set and cannot be compared: %d.\n", unknown)
	}
	if len(p.OtherProjects) > 0 {
		fmt.Fprintf(&b, "Other projects of the server: %s.\n", strings.Join(p.OtherProjects, ", "))
	}
	return s.printf("%s", b.String())
}

// fit is a line that fits the terminal; --json has all of it.
func (s *session) fit(line string) string {
	if width := s.width(); width > 0 {
		line = shorten(line, width)
	}
	return line + "\n"
}

func shownSetting(setting configfile.Setting) string {
	if setting.Server == nil {
		return compact(setting.File)
	}
	return compact(setting.Server) + " → " + compact(setting.File)
}

// compact is a value as JSON in a line.
func compact(value any) string {
	if value == nil {
		return "none"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil { //nolint:errchkjson // it was JSON
		return "?"
	}
	return strings.TrimSpace(b.String())
}

func shownSecret(secret configfile.Secret) string {
	switch secret.State {
	case configfile.Generated:
		return "will be generated, and shown once"
	case configfile.Missing:
		return "will be set, from " + secret.Reference.String()
	default:
		return "set, cannot be compared"
	}
}
