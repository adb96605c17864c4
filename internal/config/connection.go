package config

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ConnectionFile is the name, in the data directory, of the file through which shells and commands
// find the dev server.
const ConnectionFile = "connection.env"

// KeyFile is the name, in the data directory, of the dev server's encryption key.
const KeyFile = "encryption.key"

// ErrNoConnection reports that no dev server has used the data directory.
var ErrNoConnection = errors.New("no dev server has run here")

// Connection describes how to reach the dev server and its databases. It works only on this machine
// but gives full access: the file has mode 0600.
type Connection struct {
	DatabaseURL     Secret
	DemoDatabaseURL Secret
	URL             string
	APIKey          Secret
	DemoProjectID   string
}

// WriteConnection writes the file atomically, so that
//
//	set -a; . .authsync/connection.env
//
// sets all of a shell's variables.
func WriteConnection(dir string, c Connection) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return WriteShellFile(filepath.Join(dir, ConnectionFile), [][2]string{
		{"AUTHSYNC_DATA_DIR", dir}, // so that commands find the rest from any directory
		{"DATABASE_URL", c.DatabaseURL.Reveal()},
		{"DEMO_DATABASE_URL", c.DemoDatabaseURL.Reveal()},
		{"AUTHSYNC_URL", c.URL},
		{"AUTHSYNC_API_KEY", c.APIKey.Reveal()},
		{"DEMO_PROJECT_ID", c.DemoProjectID},
	})
}

// ReadConnection reads what WriteConnection wrote. It returns ErrNoConnection if there is no such
// file; it does not check that the server is running.
func ReadConnection(dir string) (Connection, error) {
	values, err := ReadShellFile(filepath.Join(dir, ConnectionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Connection{}, fmt.Errorf("%s: %w", dir, ErrNoConnection)
	}
	if err != nil {
		return Connection{}, err
	}
	return Connection{
		DatabaseURL:     Secret(values["DATABASE_URL"]),
		DemoDatabaseURL: Secret(values["DEMO_DATABASE_URL"]),
		URL:             values["AUTHSYNC_URL"],
		APIKey:          Secret(values["AUTHSYNC_API_KEY"]),
		DemoProjectID:   values["DEMO_PROJECT_ID"],
	}, nil
}

// WriteShellFile atomically writes NAME='value' lines for a POSIX shell, with mode 0600.
func WriteShellFile(path string, pairs [][2]string) error {
	var b strings.Builder
	for _, pair := range pairs {
		if strings.ContainsAny(pair[1], "\n\r\x00") {
			return fmt.Errorf("write %s: the value of %s has a line break", path, pair[0])
		}
		fmt.Fprintf(&b, "%s='%s'\n", pair[0], strings.ReplaceAll(pair[1], "'", `'\''`))
	}
	return WriteFile(path, []byte(b.String()))
}

// ReadShellFile reads the lines that WriteShellFile writes.
func ReadShellFile(path string) (map[string]string, error) {
	file, err := os.Open(path) //nolint:gosec // the caller chose the directory
	if err != nil {
		return nil, err
	}
	defer file.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(file); ; {
		if !lines.Scan() {
			return values, lines.Err()
		}
		name, quoted, found := strings.Cut(lines.Text(), "=")
		if !found || strings.HasPrefix(name, "#") {
			continue
		}
		value, isQuoted := strings.CutPrefix(quoted, "'")
		if isQuoted {
			value = strings.ReplaceAll(strings.TrimSuffix(value, "'"), `'\''`, "'")
		}
		values[name] = value
	}
}

// WriteFile atomically writes a file with mode 0600.
func WriteFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(file.Name()))
	}
	return nil
}
