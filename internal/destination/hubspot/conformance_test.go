package hubspot_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	const attempt = 500 * time.Millisecond
	destinationtest.Suite{
		Type: hubspot.Type{AttemptTime: attempt}, AttemptTime: attempt,
		Config: func(url string) destination.Config {
			return destination.Config{
				Options: json.RawMessage(fmt.Sprintf(`{"base_url": %q, "id_property": %q}`, url, idProperty)),
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
}
