package http_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/http"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "tok_9wJ2kQ7rVx/4+Lm=Zp"
	name  = "billing-robot"
)

// config sends secrets in every place in which they can be sent.
func config(url string) destination.Config {
	options := map[string]any{
		"requests": map[string]any{"default": map[string]any{
			"url": url + "/v1/users/{{ .user.id }}?key={{ $secrets.token }}", "body": "{user: .user.id, type, token: $secrets.token}",
		}},
		"headers": map[string]string{
			"Authorization": "Bearer {{ $secrets.token }}", "X-Basic": `Basic {{ "robot:\($secrets.token)" | @base64 }}`,
			"X-Upper": "{{ $secrets.token | ascii_upcase }}",
		},
		"limit": map[string]any{"requests": 10, "per": "1s", "daily": 1000, "zone": "Europe/Berlin"},
	}
	text, err := json.Marshal(options)
	if err != nil {
		panic(err)
	}
	return destination.Config{
		ID: destinationtest.DestinationID(), ProjectID: destinationtest.ProjectID(), Name: "billing", Options: text,
		Secrets: destination.Secrets{
			Values: map[string]string{"token": token, "unused": name},
			Old:    map[string]destination.OldSecret{"token": {Value: "tok_old_old_old_old_old"}},
		},
	}
}

func options(text string) func(*destination.Config) {
	return func(c *destination.Config) { c.Options = json.RawMessage(text) }
}

// request is options with one request for all event types.
func request(text string) func(*destination.Config) {
	return options(`{"requests": {"default": ` + text + `}}`)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	const attempt = 500 * time.Millisecond
	secret := func(name, value string) func(*destination.Config) {
		return func(c *destination.Config) { c.Secrets.Values[name] = value }
	}
	refuses := destinationtest.Refuses
	destinationtest.Suite{
		Type: http.Type{AttemptTime: attempt}, AttemptTime: attempt, Config: config, IDHeader: "Idempotency-Key",
		Invalid: []destinationtest.Invalid{
			refuses("NoRequests", options(`{}`), "options.requests is missing", `{"default"`),
			refuses("UnknownEventType", options(`{"requests": {"user.renamed": {"url": "https://a.example"}}}`), `options.requests has "user.renamed"`, "it takes event types and default"),
			refuses("NoURL", request(`{}`), "options.requests.default.url is missing", "https://"),
			refuses("URLWithoutScheme", request(`{"url": "api.example.com/users"}`), "default.url", "https://"),
			refuses("HostFromData", request(`{"url": "https://{{ .user.raw.host }}/x"}`), "default.url", "fixed"),
			refuses("HostFromDataInPart", request(`{"url": "https://{{ .user.id }}.example.com/x"}`), "default.url", "fixed"),
			refuses("PortFromData", request(`{"url": "https://a.example:{{ .user.raw.port }}/x"}`), "default.url", "fixed"),
			refuses("SchemeFromData", request(`{"url": "{{ .user.raw.scheme }}://a.example/x"}`), "default.url", "fixed"),
			refuses("WholeURLFromData", request(`{"url": "{{ .user.raw.url }}"}`), "default.url", "fixed"),
			refuses("PasswordInURL", request(`{"url": "https://robot:secret@a.example/x"}`), "default.url", "without user name"),
			refuses("FragmentInURL", request(`{"url": "https://a.example/x#y"}`), "default.url", "#"),
			refuses("LongURL", request(`{"url": "https://a.example/`+strings.Repeat("x", 8193)+`"}`), "default.url gives an address of 8211 bytes", "8192"),
			refuses("UnknownMethod", request(`{"url": "https://a.example", "method": "TELL"}`), `"TELL"`, "POST, PUT, PATCH, DELETE, GET"),
			refuses("BodyOfGet", request(`{"url": "https://a.example", "method": "get", "body": ".user"}`), "default.body", "GET"),
			refuses("BodyIsNoJQ", request(`{"url": "https://a.example", "body": "{id: .user.id"}`), "default.body", "too early", "line 1"),
			refuses("BodyOfUnknownFunction", request(`{"url": "https://a.example", "body": "upper(.user)"}`), "default.body", "upper/1"),
			refuses("BodyOfUnknownVariable", request(`{"url": "https://a.example", "body": "$user.id"}`), "default.body", "$user", "There is $secrets"),
			refuses("BracesWithoutEnd", request(`{"url": "https://a.example/{{ .user.id"}`), "default.url", "}}"),
			refuses("BracesWithNoJQ", request(`{"url": "https://a.example/{{ .user. }}"}`), "default.url", "character"),
			refuses("UnknownSecret", request(`{"url": "https://a.example", "headers": {"Authorization": "Bearer {{ $secrets.tokne }}"}}`), "headers.Authorization", "$secrets.tokne", "secrets"),
			refuses("AllSecrets", request(`{"url": "https://a.example", "body": "$secrets"}`), "default.body", "$secrets.token"),
			refuses("AnySecret", request(`{"url": "https://a.example", "body": "$secrets[.user.id]"}`), "default.body", "$secrets.token"),
			refuses("HeaderOfTheConnection", request(`{"url": "https://a.example", "headers": {"Content-Length": "1"}}`), "Content-Length", "leave it out"),
			refuses("IdempotencyHeaderWithoutName", options(`{"requests": {"default": {"url": "https://a.example"}}, "idempotency_header": "a b"}`), "options.idempotency_header", "letters"),
			refuses("NoStatus", options(`{"requests": {"default": {"url": "https://a.example"}}, "success": ["ok"]}`), "no status", `"5xx"`),
			refuses("StatusTwice", options(`{"requests": {"default": {"url": "https://a.example"}}, "success": [404], "give_up": [404]}`), "options.success", "options.give_up", "404"),
			refuses("SecretTooShort", secret("token", "short"), "secrets.token is too short", "8"),
			refuses("SecretOfTwoLines", secret("token", "one line\nanother"), "token", "line break"),
			refuses("SecretWithOddName", secret("my-token", "long enough"), "my-token", "$secrets.token"),
			refuses("ModuleIsImported", request(`{"url": "https://a.example", "body": "import \"a\" as a; ."}`), "default.body", "module"),
			refuses("ClockIsRead", request(`{"url": "https://a.example", "body": "{at: now}"}`), "default.body", "now", ".changed_at"),
			refuses("EnvironmentIsRead", request(`{"url": "https://a.example", "body": "$ENV.PATH"}`), "default.body", "$ENV", "nothing else"),
		},
	}.Test(t)
}

func TestSecretsGoToTheHostsOfAllRequests(t *testing.T) {
	t.Parallel()
	for options, want := range map[string][]string{
		`{"requests": {"default": {"url": "https://API.example.com/users/{{ .user.id }}"}}}`: {"https://api.example.com:443"},
		`{"requests": {"user.created": {"url": "https://a.example.com?x={{ .a }}"}, "user.deleted": {"url": "https://b.example.com:8443#x"}, "user.updated": {"url": "https://a.example.com/"}}}`: {
			"https://a.example.com:443", "https://b.example.com:8443",
		},
		`{}`: nil,
		`[]`: nil,
	} {
		require.Equal(t, want, http.Type{}.SendsSecretsTo(json.RawMessage(options)), options)
	}
}
