package custom_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// keyNames are the ids of the keys of a suite.
func keyNames() [3]provider.Secret { return [3]provider.Secret{"key-1", "key-2", "key-3"} }

// rsaKeySet is a provider that signs by RS256, as send makes the request of a sample.
func rsaKeySet(
	t *testing.T, p *custom.Provider, send func(sign func(claims string) string, body []byte) (http.Header, []byte),
) *providertest.KeySet {
	t.Helper()
	set := &providertest.KeySet{Keys: map[provider.Secret]provider.PublicKey{}}
	private := map[provider.Secret]*rsa.PrivateKey{}
	for _, name := range keyNames() {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		private[name], set.Keys[name] = key, provider.PublicKey{ID: string(name), Algorithm: "RS256", Key: key.Public()}
	}
	set.Sign = func(t *testing.T, sample provider.Sample, o provider.Options, name provider.Secret) (http.Header, []byte) {
		t.Helper()
		body, err := custom.SampleBody(p, sample, o, providertest.ReceivedAt())
		require.NoError(t, err)
		return send(func(claims string) string {
			return token(`{"alg":"RS256","typ":"JWT","kid":"`+string(name)+`"}`, claims, func(c string) []byte { return signRSA(t, private[name], c) })
		}, body)
	}
	return set
}

func TestConformanceOfKinde(t *testing.T) {
	t.Parallel()
	p := custom.New("kinde")
	set := rsaKeySet(t, p, func(sign func(string) string, body []byte) (http.Header, []byte) {
		return http.Header{"Content-Type": {"application/jwt"}}, []byte(sign(string(body)))
	})
	set.Wire = func(body []byte) []byte {
		return []byte("e30." + base64.RawURLEncoding.EncodeToString(body) + ".c2ln")
	}
	set.Tamper = func(body []byte) []byte {
		parts := bytes.SplitN(body, []byte("."), 3)
		return bytes.Join([][]byte{parts[0], []byte(encoded(`{"type":"user.deleted"}`)), parts[2]}, []byte("."))
	}
	providertest.Run(t, providertest.Subject{
		Provider: p, Options: provider.Options{BaseURL: "https://acme.kinde.com"}, Secrets: keyNames(), KeySet: set,
		Columns: map[string]record.Column{
			"email": record.Email, "first_name": record.FirstName, "last_name": record.LastName, "username": record.Username,
		},
		OtherTypes: []string{"organization.created", "role.updated", "user.authenticated"},
		SignsBody:  true, NoUpdatedAt: true, NoCreatedAt: true, HasEventID: true,
	})
}

func TestConformanceOfFusionAuth(t *testing.T) {
	t.Parallel()
	p := custom.New("fusionauth")
	set := rsaKeySet(t, p, func(sign func(string) string, body []byte) (http.Header, []byte) {
		sum := sha256.Sum256(body)
		return http.Header{
			"Content-Type":               {"application/json"},
			"X-Fusionauth-Signature-Jwt": {sign(`{"request_body_sha256":"` + base64.StdEncoding.EncodeToString(sum[:]) + `"}`)},
		}, body
	})
	providertest.Run(t, providertest.Subject{
		Provider: p, Options: provider.Options{BaseURL: "https://auth.example.com/"}, Secrets: keyNames(), KeySet: set,
		Types: map[string]string{
			"user.created": "user.create.complete", "user.updated": "user.update.complete", "user.deleted": "user.delete.complete",
		},
		Columns: map[string]record.Column{
			"email": record.Email, "firstName": record.FirstName, "lastName": record.LastName, "username": record.Username,
			"imageUrl": record.ImageURL,
		},
		OtherTypes: []string{"user.create", "user.login.failed", "group.create", "jwt.refresh"},
		SignsBody:  true, NoUpdatedAt: true, HasEventID: true,
	})
}
