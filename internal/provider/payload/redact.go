package payload

import (
	"bytes"
	"encoding/json"
)

// ticket is the parameter of a link by which Clerk signs somebody in. Within another link its = is escaped.
const ticket = "__clerk_ticket"

// Removed replaces a secret in a stored document.
const Removed = "[removed by authsync]"

// kind classifies the value of a key.
type kind int

const (
	plain  kind = iota
	secret      // a secret of an end user, or a live token
	// secret unless it is a number: "tokens": 120 is a balance
	count
	// secret if it is a text or a list: "authorization": {"roles": […]} is none
	header
	// the customer's own data with unknown keys, so nothing is removed
	opaque
)

// kindOf classifies the keys that providers send: sessions and accounts of Better Auth, identities
// and Actions of Auth0, forwarded rows. The name is in lower case and without punctuation.
func kindOf(name []byte) kind {
	switch string(name) {
	case "usermetadata", "appmetadata", "publicmetadata", "privatemetadata", "unsafemetadata", "metadata":
		return opaque
	case "apikey", "backupcode", "backupcodes", "codeverifier", "devicecode", "hashedpassword", "magiclink", "otp", "otpcode", "passwd", "passworddigest",
		"passwordhash", "passwordsalt", "privatekey", "recoverycode", "recoverycodes", "secretkey", "secrets",
		"sessioncookie", "signingkey", "ticket", "tokenhash", "totp":
		return secret
	case "authorization", "cookie", "setcookie":
		return header
	case "tokens":
		return count
	}
	switch {
	case bytes.HasSuffix(name, []byte("token")), bytes.HasSuffix(name, []byte("jwt")):
		return count
	case bytes.HasSuffix(name, []byte("password")), bytes.HasSuffix(name, []byte("secret")):
		return secret
	}
	return plain
}

// Redact returns the document with every secret and live token replaced by Removed, and everything
// else byte by byte unchanged. It keeps null, true, false and empty values, which are no secrets.
// A link with a ticket of Clerk's in it, which signs in whoever has it, is a secret under any name.
// More names of secrets may be given, in lower case and without punctuation.
//
// It accepts any bytes, so that a truncated document keeps no token either.
func Redact(doc []byte, more ...string) []byte {
	var out []byte
	done := 0
	remove := func(from, to int) {
		out = append(out, doc[done:from]...)
		out = append(out, `"`+Removed+`"`...)
		done = to
	}
	tickets := bytes.Contains(doc, []byte(ticket))
	for i := 0; i < len(doc); {
		quote := bytes.IndexByte(doc[i:], '"')
		if quote < 0 {
			break
		}
		i += quote
		end := textEnd(doc, i)
		value := skipSpace(doc, end)
		if value >= len(doc) || doc[value] != ':' {
			if tickets && bytes.Contains(doc[i:end], []byte(ticket)) {
				remove(i, end)
			}
			i = end
			continue
		}
		value = skipSpace(doc, value+1)
		var buffer [maxName]byte
		name := plainName(&buffer, doc[i:end])
		i = value
		k := kindOf(name)
		for _, one := range more {
			if one == string(name) {
				k = secret
			}
		}
		if k == plain || k == header && value < len(doc) && doc[value] == '{' {
			continue
		}
		if i = anyEnd(doc, value); k != opaque && isSecret(k, doc[value:i]) {
			remove(value, i)
		}
	}
	if done == 0 {
		return doc
	}
	return append(out, doc[done:]...)
}

// isSecret reports whether a value can be a secret.
func isSecret(k kind, value []byte) bool {
	if len(bytes.Trim(value, "\"[]{} \t\r\n")) == 0 || string(value) == `"`+Removed+`"` {
		return false
	}
	switch c := value[0]; c {
	case '"', '{', '[':
		return true
	case 'n', 't', 'f':
		return false
	default:
		return k == secret
	}
}

// maxName is how many trailing bytes of a name are considered: more than the longest known name
// has.
const maxName = 48

// plainName converts a key to lower case without punctuation.
func plainName(buffer *[maxName]byte, quoted []byte) []byte {
	text := bytes.Trim(quoted, `"`)
	if bytes.IndexByte(quoted, '\\') >= 0 {
		var name string
		if json.Unmarshal(quoted, &name) != nil {
			return nil // invalid JSON: no reader can decode it
		}
		text = []byte(name)
	}
	name := buffer[:0]
	for _, c := range text[max(0, len(text)-maxName):] {
		switch {
		case c >= 'A' && c <= 'Z':
			name = append(name, c+'a'-'A')
		case c != '_' && c != '-' && c != ' ' && c != '.':
			name = append(name, c)
		}
	}
	return name
}

// textEnd is stringEnd for any bytes: an unterminated string ends at the end of b.
func textEnd(b []byte, i int) int {
	i++
	quote := bytes.IndexByte(b[i:], '"')
	if quote < 0 {
		return len(b)
	}
	escape := bytes.IndexByte(b[i:i+quote], '\\')
	if escape < 0 {
		return i + quote + 1
	}
	for i += escape; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// anyEnd is valueEnd for any bytes.
func anyEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = textEnd(b, i); depth == 0 {
				return i
			}
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth--; depth <= 0 {
				if depth == 0 {
					i++
				}
				return i
			}
			i++
		default:
			if depth == 0 {
				return scalarEnd(b, i)
			}
			i++
		}
	}
	return len(b)
}
