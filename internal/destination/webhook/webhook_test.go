package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func config(url string) destination.Config {
	return destination.Config{
		ID: destinationtest.DestinationID(), ProjectID: destinationtest.ProjectID(), Name: "app",
		Options: json.RawMessage(`{"url": "` + url + `", "limit": {"requests": 10, "per": "1s"}}`),
		Secrets: destination.Secrets{Values: map[string]string{webhook.SigningSecret: secret}},
	}
}

func options(text string) func(*destination.Config) {
	return func(c *destination.Config) { c.Options = json.RawMessage(text) }
}

func signedWith(value string) func(*destination.Config) {
	return func(c *destination.Config) { c.Secrets.Values[webhook.SigningSecret] = value }
}

func TestConformance(t *testing.T) {
	t.Parallel()
	const attempt = 500 * time.Millisecond
	refuses := destinationtest.Refuses
	destinationtest.Suite{
		Type: webhook.Type{AttemptTime: attempt}, AttemptTime: attempt, Config: config, IDHeader: "Webhook-Id",
		Invalid: []destinationtest.Invalid{
			refuses("NoURL", options(`{}`), "options.url is missing", "https://"),
			refuses("PayloadIsNoJQ", options(`{"url": "https://app.example.com", "payload": ".user |"}`), "options.payload", "character"),
			refuses("PayloadOfUnknownFunction", options(`{"url": "https://app.example.com", "payload": "upper(.user)"}`), "options.payload", "upper/1"),
			refuses("HeaderOfOurs", options(`{"url": "https://app.example.com", "headers": {"webhook-id": "x"}}`), "Webhook-Id", "leave it out"),
			refuses("HeaderOfTheConnection", options(`{"url": "https://app.example.com", "headers": {"host": "x"}}`), "Host", "leave it out"),
			refuses("HeaderWithoutName", options(`{"url": "https://app.example.com", "headers": {"a b": "x"}}`), `"a b"`, "letters"),
			refuses("HeaderOfTwoLines", options(`{"url": "https://app.example.com", "headers": {"x-a": "1\r\nx-b: 2"}}`), "x-a", "line break"),
			refuses("LongURL", options(`{"url": "https://a.example/`+strings.Repeat("x", 8193)+`"}`), "options.url gives an address of 8211 bytes", "8192"),
			refuses("URLIsANumber", options(`{"url": 7}`), "options.url", "takes a text"),
			refuses("LimitOfNothing", options(`{"url": "https://app.example.com", "limit": {}}`), "options.limit", "requests"),
			refuses("LimitWithoutTime", options(`{"url": "https://app.example.com", "limit": {"requests": 5}}`), "options.limit.per", `"10s"`),
			refuses("LimitOfUnknownZone", options(`{"url": "https://app.example.com", "limit": {"daily": 5, "zone": "Mars"}}`), "options.limit.zone", "Europe/Berlin"),
			refuses("SecretTooShort", signedWith("whsec_c2hvcnQgb25l"), "too short", "24 to 64", "openssl rand"),
			refuses("SecretTooLong", signedWith("whsec_"+longKey()), "too long", "24 to 64"),
			refuses("SecretNotBase64", signedWith("whsec_not*base64*at*all"), "base64", "openssl rand"),
			refuses("SecretEmpty", signedWith(""), "empty", "openssl rand"),
			refuses("SecretMissing", func(c *destination.Config) { c.Secrets.Values = nil }, "secrets.signing_secret", "missing"),
		},
	}.Test(t)
}

func longKey() string {
	key := make([]byte, 88)
	for i := range key {
		key[i] = 'A'
	}
	return string(key)
}
