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

// Masked replaces secrets.
const Masked = "***"

// minMasked is the minimum length of a masked string. Shorter ones would match ordinary text.
const minMasked = 4

// Mask hides secrets in what is shown or stored. The zero value hides nothing. It is safe for concurrent use.
type Mask struct {
	replacer *strings.Replacer
	longest  int
}

// NewMask returns a Mask for secrets in all forms in which they are sent and quoted: verbatim, URL-escaped, in
// JSON, in HTML, in base64.
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
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) // longest first
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, Masked)
	}
	return Mask{replacer: strings.NewReplacer(pairs...), longest: len(forms[0])}
}

// formsOf returns the forms in which a secret may appear. Encoders differ in what they escape beyond the
// minimum.
func formsOf(secret string) []string {
	query, path := url.QueryEscape(secret), url.PathEscape(secret)
	markup := html.EscapeString(secret)
	spaced := strings.ReplaceAll(query, "+", "%20")
	forms := []string{
		secret, query, path, spaced, lowerEscapes(query), lowerEscapes(path), lowerEscapes(spaced),
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
		if err := encoder.Encode(secret); err == nil { // a string always marshals
			text := strings.TrimSuffix(quoted.String()[1:], "\"\n")
			forms = append(forms, text, strings.ReplaceAll(text, "/", `\/`))
		}
	}
	return forms
}

// lowerEscapes lower-cases URL escapes, as some encoders write them.
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

// ReadAhead returns how many bytes of a response to read so that Response finds secrets across its limit.
func (m Mask) ReadAhead() int { return MaxResponse + m.longest + 1 }

// Response returns the start of a response, of which at most ReadAhead bytes were read: valid UTF-8, at most
// MaxResponse bytes, no secret and no partial secret at the end.
func (m Mask) Response(read []byte) string {
	text, _ := m.Excerpt(read)
	return text
}

// Excerpt is Response for any body. isCut reports that there is more of it.
func (m Mask) Excerpt(read []byte) (text string, isCut bool) {
	text = m.Hide(strings.ToValidUTF8(string(read), "\uFFFD"))
	if isCut = len(read) >= m.ReadAhead(); isCut {
		// It was cut off, possibly within a secret.
		text = text[:max(len(text)-m.longest, 0)]
	}
	text = strings.ReplaceAll(text, "\x00", "\uFFFD") // PostgreSQL's text does not accept U+0000
	return strings.ToValidUTF8(text[:min(len(text), MaxResponse)], ""), isCut || len(text) > MaxResponse
}
