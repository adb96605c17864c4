package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// AlertTargetsSetting is the name of the setting of AllowAlertTargets.
const AlertTargetsSetting = "AUTHSYNC_ALLOW_ALERT_TARGETS"

// Keys of Standard Webhooks, in bytes.
const minAlertKey, maxAlertKey = 24, 64

func alertURLs(name, doc string, at func(*Config) *Secret) setting {
	return setting{
		name: name, doc: doc, secret: true,
		parse: func(c *Config, value string) error {
			for n, text := range split(value) {
				u, err := url.Parse(text)
				if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
					return fmt.Errorf("takes URLs such as https://alerts.example.com/hook, separated by commas; number %d is none", n+1)
				}
			}
			*at(c) = Secret(value)
			return nil
		},
		show: func(c *Config) string { return at(c).String() },
	}
}

func parseAlertSecret(c *Config, value string) error {
	clean, err := pasted.Clean(value)
	if err != nil {
		return err
	}
	key, err := standardwebhooks.ParseSecret(clean)
	if err != nil || len(key) < minAlertKey || len(key) > maxAlertKey {
		return errors.New("takes whsec_ and the base64 of 24 to 64 random bytes (openssl rand -base64 32 makes them)")
	}
	c.AlertSecret = Secret(clean)
	return nil
}

// SplitURLs returns the URLs of AlertURLs or AlertSlackURLs.
func SplitURLs(s Secret) []string { return split(s.Reveal()) }

func split(text string) (all []string) {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}
