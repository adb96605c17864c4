package userapi

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/authsync/authsync/internal/fault"
)

// maxSaid is the maximum length of a quoted provider message, in characters.
const maxSaid = 300

// Say prepares a provider's own words for an error: on one line, truncated, and without any secret,
// even if the provider echoes its input.
func (c *Client) Say(text string, more ...string) string {
	for _, secret := range append(more, c.secrets...) {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar
	}), " ")
	if short := []rune(text); len(short) > maxSaid {
		text = string(short[:maxSaid]) + "…"
	}
	return text
}

// Unexpected returns the error for an answer that the caller has no specific error for. said is the
// provider's message; it may be empty.
func (c *Client) Unexpected(what string, answer *Response, said string) error {
	detail := fmt.Sprintf("%s of %s: the server answered %s", what, c.name, statusText(answer.Status))
	if said != "" {
		detail += ": " + said
	}
	return fault.New(fault.ProviderError, detail)
}
