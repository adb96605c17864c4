package project

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/authsync/authsync/internal/pasted"
)

// cleanSecret removes what was pasted along with a credential, or returns an error, without
// repeating the credential, if it cannot be right.
func cleanSecret(name, text string) (string, error) {
	clean, err := pasted.Clean(text)
	if err != nil {
		return "", invalid("%s %v", name, err)
	}
	return clean, nil
}

// cleanJSON applies cleanSecret to every string in a credential, at any depth.
func cleanJSON(name string, text json.RawMessage) (json.RawMessage, error) {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, invalid("%s is not valid JSON", name)
	}
	value, err := cleanValue(name, value)
	if err != nil {
		return nil, err
	}
	clean, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return clean, nil
}

func cleanValue(name string, value any) (_ any, err error) {
	switch v := value.(type) {
	case string:
		return cleanSecret(name, v)
	case []any:
		for i := range v {
			if v[i], err = cleanValue(fmt.Sprintf("%s[%d]", name, i), v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if v[key], err = cleanValue(name+"."+key, v[key]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}
