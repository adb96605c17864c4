package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/authsync/authsync/internal/pasted"
)

// maxSecretFile bounds what is read of a file that should hold a secret.
const maxSecretFile = 1 << 20

// source is where a secret comes from: a file, standard input ("-") or an
// environment variable. A secret is never the value of a flag, where every user
// of the machine could see it in the list of processes.
type source struct {
	flag string // the name of the flag without -file or -env, for messages
	file string
	env  string
}

func (src source) given() bool { return src.file != "" || src.env != "" }

// read returns the text without what is invisible around it.
func (s *session) read(src source) (string, error) {
	if src.file != "" && src.env != "" {
		return "", usagef("--%s-file and --%s-env are both given: give one", src.flag, src.flag)
	}
	if src.env != "" {
		text := pasted.Trim(s.Lookup(src.env))
		if text == "" {
			return "", fmt.Errorf("--%s-env: the environment variable %s is empty: set it first", src.flag, src.env)
		}
		return text, nil
	}
	var content []byte
	var err error
	if src.file == "-" {
		content, err = io.ReadAll(io.LimitReader(s.In, maxSecretFile))
	} else {
		content, err = os.ReadFile(src.file)
	}
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", src.flag, err)
	}
	text := pasted.Trim(string(content))
	if text == "" {
		return "", fmt.Errorf("--%s-file: there is nothing in %s", src.flag, named(src.file))
	}
	return text, nil
}

func named(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// ask prompts for a secret where a person sits at a terminal, without showing
// what is typed; elsewhere it returns "".
func (s *session) ask(prompt string) (string, error) {
	file, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return "", nil
	}
	if _, err := fmt.Fprint(s.Err, prompt); err != nil {
		return "", err
	}
	typed, err := term.ReadPassword(int(file.Fd()))
	if _, e := fmt.Fprintln(s.Err); err == nil {
		err = e
	}
	if errors.Is(err, io.EOF) {
		return "", nil
	}
	return pasted.Trim(string(typed)), err
}
