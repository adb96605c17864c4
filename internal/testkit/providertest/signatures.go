package providertest

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

func verifiesOwnSignature(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	proof, err := s.verifier(t, s.Secrets[0]).Verify(header, body, ReceivedAt())
	require.NoError(t, err)
	require.Equal(t, s.position(0), proof.Secret)
	require.NotEmpty(t, proof.Method)
}

// position is that of a secret in a proof; public keys have none.
func (s Subject) position(i int) string {
	if s.KeySet != nil {
		return ""
	}
	return strconv.Itoa(i + 1)
}

func everySecretIsAccepted(t *testing.T, s Subject) {
	t.Helper()
	v := s.verifier(t, s.Secrets[:]...)
	for i, secret := range s.Secrets {
		header, body := s.sign(t, provider.Sample{Type: "user.created"}, secret)
		proof, err := v.Verify(header, body, ReceivedAt())
		require.NoError(t, err)
		require.Equal(t, s.position(i), proof.Secret)
	}
}

func otherSecretIsRefused(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	_, err := s.verifier(t, s.Secrets[1], s.Secrets[2]).Verify(header, body, ReceivedAt())
	require.ErrorIs(t, err, provider.ErrNoMatch)
	requireNoSecret(t, err, s.Secrets[:]...)
}

func missingSignatureIsRefused(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	v := s.verifier(t, s.Secrets[0])
	if len(header) > 1 { // otherwise the body is the signature
		_, err := v.Verify(http.Header{"Content-Type": {"application/json"}}, body, ReceivedAt())
		require.ErrorIs(t, err, provider.ErrMissingSignature)
	}
	_, err := v.Verify(nil, nil, ReceivedAt())
	require.ErrorIs(t, err, provider.ErrMissingSignature)
}

// everyHeaderIsCovered changes each header of the request in turn, and takes it away.
func everyHeaderIsCovered(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	v := s.verifier(t, s.Secrets[0])
	for name := range header {
		if name == "Content-Type" {
			continue
		}
		for _, value := range []string{"", " ", "0", header.Get(name) + "1", header.Get(name)[1:], strings.Repeat("a", 100_000)} {
			tampered := header.Clone()
			tampered.Set(name, value)
			_, err := v.Verify(tampered, body, ReceivedAt())
			require.Error(t, err, "%s: %.20q", name, value)
		}
	}
}

func tamperedBodyIsRefused(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	_, err := s.verifier(t, s.Secrets[0]).Verify(header, s.tamper(body), ReceivedAt())
	if s.SignsBody {
		require.ErrorIs(t, err, provider.ErrNoMatch)
	} else {
		require.NoError(t, err, "a static secret proves nothing about the body")
	}
}

func oldAndFutureTimeAreRefused(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	v := s.verifier(t, s.Secrets[0])
	tolerance := cmp.Or(s.Tolerance, 5*time.Minute)
	for _, at := range []time.Duration{-tolerance, 0, tolerance} {
		_, err := v.Verify(header, body, ReceivedAt().Add(at))
		require.NoError(t, err, "%s passes", at)
	}
	_, tooOld := v.Verify(header, body, ReceivedAt().Add(tolerance+time.Second))
	_, tooNew := v.Verify(header, body, ReceivedAt().Add(-tolerance-time.Second))
	if s.SignsTime {
		require.ErrorIs(t, tooOld, provider.ErrTooOld)
		require.ErrorIs(t, tooNew, provider.ErrTooNew)
	} else {
		require.NoError(t, tooOld)
		require.NoError(t, tooNew)
	}
}

func withoutSecretNothingPasses(t *testing.T, s Subject) {
	t.Helper()
	header, body := s.sign(t, provider.Sample{Type: "user.created"}, s.Secrets[0])
	if s.KeySet != nil {
		v, err := s.Provider.NewVerifier(provider.Credentials{}, s.Options)
		require.NoError(t, err)
		_, err = v.Verify(header, body, ReceivedAt())
		require.ErrorIs(t, err, provider.ErrKeysUnavailable)
		return
	}
	_, err := s.verifier(t).Verify(header, body, ReceivedAt())
	require.ErrorIs(t, err, provider.ErrNoSecret)
	_, _, err = s.Provider.Sign(provider.Sample{Type: "user.created"}, provider.Credentials{}, s.Options, ReceivedAt())
	require.ErrorIs(t, err, provider.ErrNoSecret)
}

func badSecretIsNotInTheError(t *testing.T, s Subject) {
	t.Helper()
	bad := append([]provider.Secret{"", " ", "\t\n", "two\nlines-of-it"}, s.BadSecrets...)
	for _, secret := range bad {
		for _, c := range []provider.Credentials{s.credentials(secret), s.credentials(s.Secrets[0], secret)} {
			_, err := s.Provider.NewVerifier(c, s.Options)
			require.ErrorContains(t, err, "webhook_signing_secret")
			requireNoSecret(t, err, secret, s.Secrets[0])
			_, _, err = s.Provider.Sign(provider.Sample{Type: "user.created"}, c, s.Options, ReceivedAt())
			require.Error(t, err)
			requireNoSecret(t, err, secret, s.Secrets[0])
		}
	}
}

func requireNoSecret(t *testing.T, err error, secrets ...provider.Secret) {
	t.Helper()
	for _, secret := range secrets {
		if text := strings.TrimPrefix(strings.TrimSpace(string(secret)), "whsec_"); len(text) > 2 {
			require.NotContains(t, err.Error(), text)
		}
	}
}
