package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/authsync/authsync/internal/pasted"
)

// maxSecretFile is more than any secret has: a file that is larger is another one.
const maxSecretFile = 64 << 10

// fileOf is the variable NAME_FILE of a secret: the file to read it from instead. Service managers
// and container platforms give secrets as files, which child processes do not inherit.
func fileOf(secret setting) setting {
	name := secret.name + "_FILE"
	return setting{
		name: name,
		doc:  "the file to read " + secret.name + " from instead",
		parse: func(c *Config, path string) error {
			if c.set[secret.name] {
				return errors.New(secret.name + " is set too: unset one of the two")
			}
			value, err := readSecret(path)
			if err != nil {
				return err
			}
			c.set[secret.name] = true
			c.secretFiles[secret.name] = path
			return secret.parse(c, value)
		},
		show: func(c *Config) string { return c.secretFiles[secret.name] },
	}
}

// readSecret reads a file. Its errors name the reason alone, never what is in the file.
func readSecret(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the operator chose it
	if err != nil {
		if reason, ok := errors.AsType[*fs.PathError](err); ok {
			err = reason.Err
		}
		return "", fmt.Errorf("the file cannot be read: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", errors.New("the file cannot be read: it is not a regular file")
	}
	value := pasted.Unquote(string(content))
	switch {
	case len(content) > maxSecretFile:
		return "", errors.New("the file has more than 64 kB: name the file that holds only the secret")
	case value == "":
		return "", errors.New("the file is empty")
	}
	return value, nil
}
