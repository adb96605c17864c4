package userapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/authsync/authsync/internal/fault"
)

// EncodeCursor encodes the place of a walk as JSON, so that people who inspect a run can read it.
func EncodeCursor(place any) (string, error) {
	text, err := json.Marshal(place)
	if err != nil {
		return "", fmt.Errorf("encode the place of the walk: %w", err)
	}
	return string(text), nil
}

// DecodeCursor decodes what EncodeCursor encoded. It refuses unknown keys: a partly understood
// place would be another place.
func DecodeCursor(cursor string, place any) error {
	decoder := json.NewDecoder(bytes.NewReader([]byte(cursor)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(place)
	if err == nil && decoder.More() {
		err = errors.New("there is more behind it")
	}
	if err != nil {
		return ForeignCursor()
	}
	return nil
}

var errForeignCursor = fault.New(fault.ProviderError,
	"the walk's place cannot be read: it was written by another version or for another provider; begin the walk anew")

// ForeignCursor returns the error for a place that the source did not create.
func ForeignCursor() error { return errForeignCursor }
