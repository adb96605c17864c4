package browsertest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// trustTestServers has this process trust the certificate that httptest's servers with TLS have, as an operator makes the
// one of his own authority known: key sets come by https only.
func trustTestServers() (forget func()) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	file, err := os.CreateTemp("", "authsync-browsertest-*.pem")
	if err != nil {
		panic(err)
	}
	if err := pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}); err != nil {
		panic(err)
	}
	if err := file.Close(); err != nil {
		panic(err)
	}
	if err := os.Setenv("SSL_CERT_FILE", file.Name()); err != nil {
		panic(err)
	}
	return func() { _ = os.Remove(file.Name()) }
}

// issuer is a provider that signs with a private key and publishes the public one.
type issuer struct {
	url string
	key *rsa.PrivateKey
}

const issuerKey = "key-of-the-test"

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	text := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "kid": issuerKey, "use": "sig", "alg": "RS256", "n": text(key.N.Bytes()), "e": text(big.NewInt(int64(key.E)).Bytes()),
	}}})
	require.NoError(t, err)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	t.Cleanup(server.Close)
	return &issuer{url: server.URL, key: key}
}

// sign makes a token of claims.
func (i *issuer) sign(t *testing.T, claims string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString
	content := text([]byte(`{"alg":"RS256","typ":"JWT","kid":"`+issuerKey+`"}`)) + "." + text([]byte(claims))
	digest := sha256.Sum256([]byte(content))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	return content + "." + text(signature)
}

// created is the request of a provider about a new user.
func (i *issuer) created(t *testing.T, name, userID string) (http.Header, []byte) {
	t.Helper()
	switch name {
	case "kinde":
		claims, err := json.Marshal(map[string]any{
			"type": "user.created", "event_id": "event_1", "event_timestamp": time.Now().UTC(), "source": "admin",
			"data": map[string]any{"user": map[string]any{"id": userID, "email": "ada@example.com", "first_name": "Ada"}},
		})
		require.NoError(t, err)
		return http.Header{"Content-Type": {"application/jwt"}}, []byte(i.sign(t, string(claims)))
	case "fusionauth":
		body, err := json.Marshal(map[string]any{"event": map[string]any{
			"type": "user.create.complete", "id": "event_1", "createInstant": time.Now().UnixMilli(),
			"user": map[string]any{"id": userID, "email": "ada@example.com", "firstName": "Ada", "active": true},
		}})
		require.NoError(t, err)
		sum := sha256.Sum256(body)
		return http.Header{
			"Content-Type":               {"application/json"},
			"X-Fusionauth-Signature-Jwt": {i.sign(t, `{"request_body_sha256":"`+base64.StdEncoding.EncodeToString(sum[:])+`"}`)},
		}, body
	default:
		require.Fail(t, "how does it sign?", "%s publishes keys: say here what it sends", name)
		return nil, nil
	}
}

// send sends a request of a provider until it is taken.
func (i *issuer) send(t *testing.T, s *site, projectID, name, userID string) {
	t.Helper()
	header, body := i.created(t, name, userID)
	c := client.New(s.URL, "")
	defer c.Close()
	waittest.Until(t, func() bool { return c.Deliver(t.Context(), name, projectID, header, body) == nil })
}
