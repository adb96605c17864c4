package betterauth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func hexSum(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func FuzzDecode(f *testing.F) {
	providertest.FuzzDecode(f, betterauth.New())
}

func FuzzVerify(f *testing.F) {
	f.Add(checkSignature, "", checkBody)
	f.Add("", "sha256="+checkSignature, checkBody)
	f.Fuzz(func(t *testing.T, signature, plugin, body string) {
		v := verifier(t, provider.Options{}, checkSecret)
		h := http.Header{"X-Better-Auth-Signature": {signature}, "X-Webhook-Signature": {plugin}}
		proof, err := v.Verify(h, []byte(body), providertest.ReceivedAt())
		if err != nil {
			require.Empty(t, proof)
			return
		}
		require.Contains(t, strings.ToLower(signature+plugin), hexSum(checkSecret, body), "what passes holds the signature")
	})
}

func BenchmarkDecode(b *testing.B) {
	providertest.BenchmarkDecode(b, betterauth.New(), provider.Credentials{WebhookSigningSecret: provider.Secrets{checkSecret}})
}

func BenchmarkVerify(b *testing.B) {
	providertest.BenchmarkVerify(b, betterauth.New(), provider.Credentials{WebhookSigningSecret: provider.Secrets{checkSecret}})
}
