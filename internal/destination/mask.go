package destination

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// Masked stands where a secret would.
const Masked = "***"

// minMasked is the length from which a text is looked for. Shorter ones would be found in every second sentence.
const minMasked = 4

// Mask hides secrets in what is shown or stored. The zero value hides nothing. It is safe for
// concurrent use.
type Mask struct {
	replacer *strings.Replacer
	longest  int
}

// NewMask makes a Mask that hides secrets in the forms in which they are sent: as they are, in
// a URL, in JSON, in base64.
func NewMask(secrets ...string) Mask {
	var forms []string
	for _, secret := range secrets {
		if len(secret) < minMasked {
			continue
		}
		forms = append(forms, secret, url.QueryEscape(secret), url.PathEscape(secret))
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, encoding.EncodeToString([]byte(secret)))
		}
		if quoted, err := json.Marshal(secret); err == nil {
			forms = append(forms, string(quoted[1:len(quoted)-1]))
		}
	}
	if len(forms) == 0 {
		return Mask{}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // the longer ones win
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, Masked)
	}
	return Mask{replacer: strings.NewReplacer(pairs...), longest: len(forms[0])}
}

// Hide replaces every secret in a text.
func (m Mask) Hide(text string) string {
	if m.replacer == nil {
		return text
	}
	return m.replacer.Replace(text)
}

// ReadAhead is how many bytes of an answer have to be read so that Response finds secrets
// that cross the bound.
func (m Mask) ReadAhead() int { return MaxResponse + m.longest + 1 }

// Response is what is kept of the beginning of an answer, of which at most ReadAhead bytes were
// read: valid UTF-8, at most MaxResponse bytes, no secret and no part of one at the end.
func (m Mask) Response(read []byte) string {
	text := m.Hide(strings.ToValidUTF8(string(read), "\uFFFD"))
	if len(read) >= m.ReadAhead() {
		// The answer goes on, and what was read may end within a secret.
		text = text[:max(len(text)-m.longest, 0)]
	}
	text = strings.ReplaceAll(text, "\x00", "\uFFFD") // PostgreSQL takes none in a text
	return strings.ToValidUTF8(text[:min(len(text), MaxResponse)], "")
}
