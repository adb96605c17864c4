package provider

import (
	"fmt"
	"slices"
	"strings"
)

// minSecret is the minimum length of a key or secret, in bytes. 16 random bytes cannot be guessed;
// the Standard Webhooks specification requires 24.
const minSecret = 16

// published returns secrets from public documentation and code, including this project's: anyone
// could sign with them.
func published() []string {
	return []string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_plJ3nmyCDGBKInavdOK15jsl", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
		"a long random text", "better-auth-secret-123456789", "better-auth-secret-12345678901234567890",
		"your-webhook-signing-secret", "your-webhook-secret", "your-secret-key-here", "your_webhook_signing_secret", "your_webhook_secret",
		"change-me-to-something-random", "replace-me-with-a-secret", "this-is-a-secret-key", "supersecretsupersecret", "my-super-secret-key",
		"correct horse battery staple",
	}
}

// CheckStrength returns an error if a stranger could guess the secret. text is the secret as given,
// key what it decodes to. The error does not contain the secret.
func CheckStrength(field, text string, key []byte) error {
	const advice = "make one with: openssl rand -base64 32"
	bare := strings.TrimRight(strings.TrimPrefix(text, "v1,"), "=")
	switch {
	case slices.ContainsFunc(published(), func(known string) bool { return strings.EqualFold(bare, known) }):
		return fmt.Errorf("%s is an example out of public documentation, with which anybody could sign: %s", field, advice)
	case len(key) < minSecret:
		return fmt.Errorf("%s is too short to be safe: %d bytes, where at least %d are needed; %s", field, len(key), minSecret, advice)
	case period(key) < minSecret:
		return fmt.Errorf("%s repeats itself every %d bytes, so it is as easily guessed as those are: %s", field, period(key), advice)
	case isSeries(key):
		return fmt.Errorf("%s is a plain series of bytes, such as 1, 2, 3, and not random: %s", field, advice)
	}
	return nil
}

// period returns the length of the shortest prefix of which the key is a repetition, possibly
// truncated. It is 1 for a key of equal bytes.
func period(key []byte) int {
	// The failure function of Knuth, Morris and Pratt.
	border := make([]int, len(key))
	for i, k := 1, 0; i < len(key); i++ {
		for k > 0 && key[i] != key[k] {
			k = border[k-1]
		}
		if key[i] == key[k] {
			k++
		}
		border[i] = k
	}
	return len(key) - border[len(key)-1]
}

// isSeries reports whether consecutive bytes differ by a constant.
func isSeries(key []byte) bool {
	for i := 2; i < len(key); i++ {
		if key[i]-key[i-1] != key[1]-key[0] {
			return false
		}
	}
	return true
}
