package hubspot_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	refusal := func(options, token string, check func(string) error) string {
		t.Helper()
		_, err := hubspot.Type{}.New(destination.Config{
			Options: json.RawMessage(options), Secrets: destination.Secrets{Values: map[string]string{hubspot.TokenSecret: token}},
		}, destination.Deps{CheckURL: check})
		require.True(t, fault.Is(err, fault.Invalid), options)
		if token != "" {
			require.NotContains(t, err.Error(), token)
		}
		return err.Error()
	}

	for options, words := range map[string]string{
		`{"propertys": {}}`:                    "propertys",
		`[]`:                                   "options",
		`{"properties": {"email": ".user.["}}`: "email",
		`{"properties": {"firstName": ".user.email"}}`:  `"firstName" is no name of a HubSpot property`,
		`{"properties": {"city": ""}}`:                  "options.properties.city is empty",
		`{"properties": {"city": {}}}`:                  "options",
		`{"on_delete": {"set": {"a": {}}}}`:             "a value is an object",
		`{"properties": {"email": null}}`:               "map the property email, or name an id_property",
		`{"on_delete": {"set": {"User Status": "x"}}}`:  `"User Status" is no name`,
		`{"on_delete": {"set": {}}}`:                    `on_delete is "nothing", "archive", or {"set"`,
		`{"on_delete": {"put": {"a": "b"}}}`:            "put",
		`{"on_delete": "remove"}`:                       `on_delete is "nothing", "archive"`,
		`{"on_restore": {"set": {"X": "x"}}}`:           `"X" is no name`,
		`{"id_property": "email"}`:                      "leave it out to find contacts by e-mail",
		`{"id_property": "My ID"}`:                      `"My ID" is no name`,
		`{"id_path": "raw..x"}`:                         `id_path "raw..x" is no path`,
		`{"missing": "ignore"}`:                         "create, skip or log",
		`{"portal_id": "my portal"}`:                    "portal_id is the number of the portal",
		`{"tier": "gold"}`:                              "starter (also for free portals), professional or enterprise",
		`{"requests_per_10s": -1}`:                      "requests_per_10s is -1; it is from 1 to 1000",
		`{"requests_per_day": 100000000}`:               "requests_per_day is 100000000",
		`{"time_zone": "Berlin"}`:                       `time_zone "Berlin" is not known`,
		`{"time_zone": "Local"}`:                        `time_zone "Local" is not known`,
		`{"base_url": "hubspot"}`:                       "base_url is no URL",
		`{"base_url": "https://user:secret@x.example"}`: "base_url is no URL",
	} {
		require.Contains(t, refusal(options, hubspottest.Token, nil), words, options)
	}
	require.Contains(t, refusal(`{}`, "", nil), "needs the secret access_token")
	require.Contains(t, refusal(`{}`, "pat-short", nil), "is no access token")
	require.Contains(t, refusal(`{}`, hubspottest.Token+"\n", nil), "have no spaces")
	require.Contains(t, refusal(`{}`, hubspottest.Token, func(url string) error {
		require.Equal(t, "https://api.hubapi.com", url)
		return errors.New("it is not allowed")
	}), "it is not allowed")
}

// The options that the walk-through gives are accepted.
func TestDocumentedOptions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/destinations/hubspot.md")
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	require.NotEmpty(t, example)
	d := open(t, "http://hubspot.example", string(example[1]), destination.Deps{})
	require.Equal(t, 190, d.Capabilities().Limits["api"].Requests)

	known, err := json.Marshal(map[string]string{"no_such_option": ""})
	require.NoError(t, err)
	_, err = hubspot.Type{}.New(destination.Config{Options: known}, destination.Deps{})
	_, names, _ := strings.Cut(err.Error(), "there is ")
	for name := range strings.SplitSeq(names, ", ") {
		require.Contains(t, string(page), "`"+name+"`", "the table has every option")
	}
}
