package payload

import (
	"bytes"
	"encoding/json"
)

// Removed stands in a stored document where a secret stood.
const Removed = "[removed by authsync]"

// kind tells what stands under a name.
type kind int

const (
	plain  kind = iota
	secret      // of an end user, or a live token
	// count is secret, but for a number: "tokens": 120 is a balance.
	count
	// opaque belongs to the customer: nothing in it is known, so nothing is removed.
	opaque
)

// kindOf knows the secrets in what providers send: sessions and accounts of Better
// Auth, identities and Actions of Auth0, rows that somebody forwards whole. The name is
// in lower case and without marks.
func kindOf(name []byte) kind {
	switch string(name) {
	case "usermetadata", "appmetadata", "publicmetadata", "privatemetadata", "unsafemetadata", "metadata":
		return opaque
	case "apikey", "backupcode", "backupcodes", "hashedpassword", "magiclink", "otp", "otpcode", "passwd", "passworddigest",
		"passwordhash", "passwordsalt", "privatekey", "recoverycode", "recoverycodes", "secretkey", "secrets",
		"sessioncookie", "signingkey", "ticket", "tokenhash", "totp":
		return secret
	case "tokens":
		return count
	}
	switch {
	case bytes.HasSuffix(name, []byte("token")):
		return count
	case bytes.HasSuffix(name, []byte("password")), bytes.HasSuffix(name, []byte("secret")):
		return secret
	}
	return plain
}

// Redact returns a document in which secrets and live tokens are replaced by Removed,
// each in its place and everything else byte by byte as it was; the very document where
// there are none. Null, true, false and what is empty stay: they are no secret. More
// names of secrets may be given, in lower case and without marks.
//
// It reads any bytes, so that a document that was cut off keeps no token either.
func Redact(doc []byte, more ...string) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(doc); {
		quote := bytes.IndexByte(doc[i:], '"')
		if quote < 0 {
			break
		}
		i += quote
		end := textEnd(doc, i)
		value := skipSpace(doc, end)
		if value >= len(doc) || doc[value] != ':' {
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
		if k == plain {
			continue
		}
		if i = anyEnd(doc, value); k != opaque && isSecret(k, doc[value:i]) {
			out = append(out, doc[done:value]...)
			out = append(out, `"`+Removed+`"`...)
			done = i
		}
	}
	if done == 0 {
		return doc
	}
	return append(out, doc[done:]...)
}

// isSecret reports that a value can be a secret.
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

// maxName is how much of a name is looked at, its end: longer than all that are known.
const maxName = 48

// plainName writes a key in lower case and without marks.
func plainName(buffer *[maxName]byte, quoted []byte) []byte {
	text := bytes.Trim(quoted, `"`)
	if bytes.IndexByte(quoted, '\\') >= 0 {
		var name string
		if json.Unmarshal(quoted, &name) != nil {
			return nil // no JSON: it means nothing to anybody
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

// textEnd is stringEnd for any bytes: a string that does not end, ends with them.
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
