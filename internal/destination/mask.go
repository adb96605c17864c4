package destination

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"html"
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

// NewMask makes a Mask that hides secrets in the forms in which they are sent and quoted: as they are,
// in a URL, in JSON, in HTML, in base64.
func NewMask(secrets ...string) Mask {
	var forms []string
	for _, secret := range secrets {
		if len(secret) >= minMasked {
			forms = append(forms, formsOf(secret)...)
		}
	}
	if len(forms) == 0 {
		return Mask{}
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // the longer ones win
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, Masked)
	}
	return Mask{replacer: strings.NewReplacer(pairs...), longest: len(forms[0])}
}

// formsOf gives the forms in which a secret may come back. Encoders differ in what they escape
// beyond what they must.
func formsOf(secret string) []string {
	query, path := url.QueryEscape(secret), url.PathEscape(secret)
	markup := html.EscapeString(secret)
	forms := []string{
		secret, query, path, lowerEscapes(query), lowerEscapes(path),
		markup, strings.ReplaceAll(markup, "+", "&#43;"),
		strings.ReplaceAll(strings.ReplaceAll(markup, "&#34;", "&quot;"), "&#39;", "&#039;"),
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, encoding.EncodeToString([]byte(secret)))
	}
	for _, escapesHTML := range []bool{true, false} {
		var quoted strings.Builder
		encoder := json.NewEncoder(&quoted)
		encoder.SetEscapeHTML(escapesHTML)
		if err := encoder.Encode(secret); err == nil { // a text always has a form in JSON
			text := strings.TrimSuffix(quoted.String()[1:], "\"\n")
			forms = append(forms, text, strings.ReplaceAll(text, "/", `\/`))
		}
	}
	return forms
}

// lowerEscapes writes the escapes of a URL in lower case, as some do.
func lowerEscapes(escaped string) string {
	parts := strings.Split(escaped, "%")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToLower(parts[i][:2]) + parts[i][2:]
	}
	return strings.Join(parts, "%")
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
