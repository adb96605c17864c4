package cli

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// errNotConfirmed ends a command that a person did not mean.
var errNotConfirmed = errors.New("not confirmed: nothing was done")

// yesFlag adds --yes to a command that cannot be undone.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask for confirmation")
}

// confirm makes sure that what cannot be undone is meant: by --yes, or by asking who sits at the
// terminal. consequence is a sentence without its full stop.
func (s *session) confirm(yes bool, consequence string) error {
	if yes {
		return nil
	}
	if _, ok := s.screen(s.In); !ok {
		return usagef("%s: add --yes if that is meant", consequence)
	}
	if _, err := fmt.Fprintf(s.Err, "%s. Go on? [y/N] ", consequence); err != nil {
		return err
	}
	line, err := bufio.NewReader(s.In).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	if answer == "y" || answer == "yes" {
		return nil
	}
	if err != nil { // Ctrl-D, after which the cursor stands behind the question
		fmt.Fprintln(s.Err)
	}
	return errNotConfirmed
}
