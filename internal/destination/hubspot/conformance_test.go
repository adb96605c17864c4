package hubspot_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	const attempt = 500 * time.Millisecond
	for name, c := range map[string]struct {
		of      record.Type
		options string
	}{
		"Users":            {record.User, fmt.Sprintf(`{"id_property": %q}`, idProperty)},
		"UsersOfCompanies": {record.User, withCompanies("")},
		"Organizations":    {record.Organization, withCompanies(`"on_delete": "archive"`)},
		"Memberships":      {record.Membership, withCompanies("")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			destinationtest.Suite{
				Type: hubspot.Type{AttemptTime: attempt}, AttemptTime: attempt, RecordType: c.of,
				Config: func(url string) destination.Config {
					return destination.Config{
						Options: json.RawMessage(strings.Replace(c.options, "{", fmt.Sprintf(`{"base_url": %q, `, url), 1)),
						Secrets: destination.Secrets{Values: map[string]string{hubspot.TokenSecret: hubspottest.Token}},
					}
				},
				Server: func() http.Handler { return hubspottest.New(unlimited()) },
				Invalid: []destinationtest.Invalid{
					destinationtest.Refuses("NoToken", func(c *destination.Config) { c.Secrets = destination.Secrets{} }, "access_token", "private app"),
					destinationtest.Refuses("ShortToken", func(c *destination.Config) {
						c.Secrets = destination.Secrets{Values: map[string]string{hubspot.TokenSecret: "pat"}}
					}, "access_token", "copy it whole"),
				},
			}.Test(t)
		})
	}
}
