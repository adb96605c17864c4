package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/pasted"
)

// The environment comes first; what it leaves open the dev server's data
// directory tells. The two are never mixed: a dev server's key is not shown to
// another server, nor its encryption key tried on another database.

// settings reads the environment.
func (s *session) settings() (config.Config, error) { return config.Load(s.Lookup) }

// server returns where the server is and the key to show it.
func (s *session) server() (url string, key config.Secret, err error) {
	c, err := s.settings()
	if err != nil {
		return "", "", err
	}
	if c.URL != "" && c.APIKey != "" {
		return c.URL, c.APIKey, nil
	}
	dev, err := config.ReadConnection(c.DataDir)
	switch {
	case c.URL == "" && c.DatabaseURL != "" && c.DatabaseURL != dev.DatabaseURL:
		return "", "", errors.New("DATABASE_URL is set, so authsync dev is not meant: set AUTHSYNC_URL and AUTHSYNC_API_KEY to its server and a key, or unset it")
	case err != nil && !errors.Is(err, config.ErrNoConnection):
		return "", "", err
	case c.URL != "" && c.URL != dev.URL:
		return "", "", errors.New("AUTHSYNC_URL is set but AUTHSYNC_API_KEY is not: set it to a key of that server, or unset both to use authsync dev")
	case err != nil:
		return "", "", noServer(c, "AUTHSYNC_URL and AUTHSYNC_API_KEY")
	case c.APIKey != "":
		return dev.URL, c.APIKey, nil
	default:
		return dev.URL, dev.APIKey, nil
	}
}

// database returns the control database's URL.
func (s *session) database() (config.Secret, error) {
	c, err := s.settings()
	if err != nil {
		return "", err
	}
	if c.DatabaseURL != "" {
		return c.DatabaseURL, nil
	}
	dev, err := config.ReadConnection(c.DataDir)
	if errors.Is(err, config.ErrNoConnection) {
		return "", noServer(c, "DATABASE_URL")
	}
	return dev.DatabaseURL, err
}

// sealed returns the control database's URL and the key that opens the
// credentials in it.
func (s *session) sealed() (databaseURL, key config.Secret, err error) {
	c, err := s.settings()
	if err != nil {
		return "", "", err
	}
	if c.DatabaseURL != "" && c.EncryptionKey != "" {
		return c.DatabaseURL, c.EncryptionKey, nil
	}
	dev, err := config.ReadConnection(c.DataDir)
	switch {
	case err != nil && !errors.Is(err, config.ErrNoConnection):
		return "", "", err
	case c.DatabaseURL != "" && c.DatabaseURL != dev.DatabaseURL:
		return "", "", errors.New("DATABASE_URL is set but AUTHSYNC_ENCRYPTION_KEY is not: set it to the key that the server of that database uses, or unset both to use authsync dev")
	case err != nil:
		return "", "", noServer(c, "DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY")
	}
	text, err := os.ReadFile(filepath.Join(c.DataDir, config.KeyFile))
	if err != nil {
		return "", "", fmt.Errorf("read the dev server's encryption key: %w", err)
	}
	return dev.DatabaseURL, config.Secret(pasted.Unquote(string(text))), nil
}

func noServer(c config.Config, names string) error {
	return fmt.Errorf("no server is known: %s has no %s: run authsync dev, or set %s", c.DataDir, config.ConnectionFile, names)
}

// client talks to the server that settings name.
func (s *session) client() (*client.Client, error) {
	url, key, err := s.server()
	if err != nil {
		return nil, err
	}
	return client.New(url, key), nil
}
