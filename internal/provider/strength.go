package provider

import (
	"fmt"
	"slices"
	"strings"
)

// minSecret is the shortest key or secret taken, in bytes. 16 random ones are more than
// anybody guesses; the Standard Webhooks specification wants 24.
const minSecret = 16

// published are secrets that stand in public documentation and code, this project's
// included: whoever knows them could sign.
func published() []string {
	return []string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_plJ3nmyCDGBKInavdOK15jsl", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
		"a long random text", "better-auth-secret-123456789", "better-auth-secret-12345678901234567890",
		"your-webhook-signing-secret", "your-webhook-secret", "your-secret-key-here", "your_webhook_signing_secret", "your_webhook_secret",
		"change-me-to-something-random", "replace-me-with-a-secret", "this-is-a-secret-key", "supersecretsupersecret", "my-super-secret-key",
		"correct horse battery staple",
	}
}

// CheckStrength reports why nobody should sign with a secret: a stranger could guess
// it. The text is what was given, the key what it stands for. The error does not hold
// the secret.
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

// period is the length of the shortest beginning of which the key is a repetition, the
// last one perhaps cut short. It is 1 for a key of equal bytes.
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

// isSeries reports that each byte differs from the one before by the same.
func isSeries(key []byte) bool {
	for i := 2; i < len(key); i++ {
		if key[i]-key[i-1] != key[1]-key[0] {
			return false
		}
	}
	return true
}
