package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const acmeSecret = "a-secret-of-acme-that-is-long-enough"

// acme is a definition as a customer writes it.
func acme() map[string]any {
	return map[string]any{
		"title": "Acme ID",
		"signature": map[string]any{
			"scheme": "hmac", "header": "X-Acme-Signature", "prefix": "sha256=", "signed": "{time}.{body}", "time_header": "X-Acme-Time",
		},
		"event": map[string]any{"type": `.kind + "." + .verb`, "id": ".event_id", "time": ".sent", "test": ".test == true"},
		"types": map[string]any{"person.add": "user.created", "person.edit": "user.updated", "person.drop": "user.deleted"},
		"ignore": map[string]any{
			"login.*": "a sign-in changes no profile",
		},
		"records": map[string]any{"user": map[string]any{
			"object": ".person", "id": ".uid // $event.uid", "email": ".mail", "full_name": ".name", "updated_at": ".changed",
			"username": `if .handle then "@" + .handle else null end`,
		}},
		"secrets": []string{"pin"},
	}
}

// sign makes the headers of an Acme request.
func signAcme(body, secret string) http.Header {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "." + body))
	return http.Header{"X-Acme-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}, "X-Acme-Time": {at}, "Content-Type": {"application/json"}}
}

// user reads a row of the mirror.
func (in *installation) user(t *testing.T, id string) (columns string) {
	t.Helper()
	require.NoError(t, in.mirror.QueryRow(t.Context(), `
		SELECT coalesce(string_agg(concat_ws('|', provider, email, first_name, last_name, username, deleted_at IS NOT NULL, raw ->> 'pin'), ''), '')
		FROM capydb_auth.users WHERE id = $1`, id).Scan(&columns))
	return columns
}

// TestAProviderThatIsAPageOfConfiguration has real bytes go through the receiver to the row.
func TestAProviderThatIsAPageOfConfiguration(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
	c := client.New(a.URL(), in.key)
	defer c.Close()
	const path = "/projects/shop/integrations/custom:acme-id"
	put := func(definition map[string]any, secrets ...string) (i client.Integration, err error) {
		err = c.Do(t.Context(), http.MethodPut, path, map[string]any{
			"credentials": map[string]any{"webhook_signing_secret": secrets}, "options": map[string]any{"definition": definition},
		}, &i)
		return i, err
	}
	wrong := acme()
	wrong["records"] = map[string]any{"user": map[string]any{"id": ".uid", "email": ".mail |"}}
	_, err := put(wrong, acmeSecret)
	require.ErrorContains(t, err, "options.definition.records.user.email: this is no jq expression")
	i, err := put(acme(), acmeSecret)
	require.NoError(t, err)
	require.Equal(t, "custom:acme_id", i.Provider)
	require.Equal(t, a.URL()+"/api/capydb/v1/integrations/custom:acme-id/webhook/"+in.projectID, i.Config.WebhookReceiver)

	deliver := func(body, secret string) error {
		return c.Deliver(t.Context(), "custom:acme-id", in.projectID, signAcme(body, secret), []byte(body))
	}
	const add = `{"kind":"person","verb":"add","event_id":"e1","sent":"2026-05-04T10:00:00Z","person":{"uid":7,"mail":"ada@example.com","name":"Ada Lovelace","handle":"ada","pin":"1234","changed":1777888000}}`
	require.ErrorContains(t, deliver(add, "another-secret-that-is-long-enough"), "no signing secret matches")
	require.NoError(t, deliver(add, acmeSecret))
	waittest.Until(t, func() bool {
		return in.user(t, "7") == "custom:acme_id|ada@example.com|Ada|Lovelace|@ada|f|[removed by authsync]"
	})
	require.NoError(t, deliver(add, acmeSecret), "a repetition is accepted, and has no effect")

	// An array of envelopes of Amazon EventBridge: a deletion without an object, a sign-in, a test, a type that nobody knows.
	envelope := func(n int, detail string) string {
		return fmt.Sprintf(`{"version":"0","id":"bridge-%d","detail-type":"acme","source":"acme.id","time":"2026-05-04T10:0%d:00Z","detail":%s}`, n, n, detail)
	}
	require.NoError(t, deliver("["+envelope(1, `{"kind":"person","verb":"drop","uid":7}`)+","+envelope(2, `{"kind":"login","verb":"ok"}`)+
		","+envelope(3, `{"kind":"person","verb":"add","test":true,"person":{"uid":"t"}}`)+","+envelope(4, `{"kind":"planet","verb":"add"}`)+
		","+envelope(5, `{"kind":"person","verb":"add","person":{"mail":"nobody@example.com"}}`)+"]", acmeSecret))
	waittest.Until(t, func() bool {
		return in.user(t, "7") == "custom:acme_id|ada@example.com|Ada|Lovelace|@ada|t|[removed by authsync]"
	})
	waittest.Until(t, func() bool {
		outcomes := in.outcomes(t, c)
		return outcomes["applied"] == 2 && outcomes["duplicate: the same event came before, with message 1"] == 1 && outcomes["ignored: a sign-in changes no profile"] == 1 &&
			outcomes["ignored: a test event of the provider: the endpoint works"] == 1 && outcomes["ignored: type planet.add is not mirrored"] == 1 &&
			outcomes["failed: records.user.id is null, not a text"] == 1
	})

	// A rotation with overlap: the stored secret stays valid beside a new one.
	err = c.Do(t.Context(), http.MethodPut, path, map[string]any{
		"credentials": map[string]any{"webhook_signing_secret": map[string]any{"add": "the-next-secret-of-acme-is-long-too"}},
	}, nil)
	require.NoError(t, err, "options that are left out stay")
	const edit = `{"kind":"person","verb":"edit","event_id":"e%d","sent":"2026-05-04T11:0%[1]d:00Z","person":{"uid":8,"mail":"b%[1]d@example.com"}}`
	require.NoError(t, deliver(fmt.Sprintf(edit, 2), acmeSecret))
	require.NoError(t, deliver(fmt.Sprintf(edit, 3), "the-next-secret-of-acme-is-long-too"))
	waittest.Until(t, func() bool { return in.user(t, "8") == "custom:acme_id|b3@example.com|f" })

	status, text := in.metrics(t, a.URL()+"/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, `authsync_messages_total{provider="custom",result="accepted"}`, "no name that a stranger chooses is a label")
	require.NotContains(t, text, "acme")
}

// TestKeysThatCannotBeFetchedAreNoRefusal: a sender tries again, and nobody else waits.
func TestKeysThatCannotBeFetchedAreNoRefusal(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true, API: true})
	c := client.New(a.URL(), in.key)
	defer c.Close()
	definition := acme()
	definition["signature"] = map[string]any{"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": "https://127.0.0.1/jwks"}
	put := func() error {
		return c.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/custom:acme",
			map[string]any{"options": map[string]any{"definition": definition}}, nil)
	}
	require.ErrorContains(t, put(), "options.definition.signature.key_set_url: https://127.0.0.1 is")
	definition["signature"] = map[string]any{"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": "https://keys.invalid/jwks"}
	require.NoError(t, put())
	const token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.c2ln" // {"alg":"RS256","kid":"k"}, {}, and no signature of anybody
	err := c.Deliver(t.Context(), "custom:acme", in.projectID, http.Header{"Content-Type": {"application/jwt"}}, []byte(token))
	require.Equal(t, http.StatusServiceUnavailable, client.Status(err))
}
