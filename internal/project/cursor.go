package project

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/authsync/authsync/internal/fault"
)

// A cursor is opaque to clients: the kind of list and the position of its last row.
func encodeCursor(kind, place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + ":" + place))
}

func decodeCursor(kind, cursor string) (place string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", fault.ErrBadCursor
	}
	place, ok := strings.CutPrefix(string(text), kind+":")
	if !ok || !utf8.ValidString(place) || strings.Contains(place, "\x00") {
		return "", fault.ErrBadCursor
	}
	return place, nil
}
