package cli

import (
	"encoding/json"
	"slices"
	"strings"
)

// parseSet turns the k=v of a repeated flag into an object, where v is JSON if it
// reads as JSON, else text. Dots in k lead into objects; k=null is an explicit null.
func parseSet(name string, flags []string) (map[string]any, error) {
	set := map[string]any{}
	for _, flag := range flags {
		path, text, found := strings.Cut(flag, "=")
		keys := strings.Split(path, ".")
		if !found || slices.Contains(keys, "") {
			return nil, usagef("%s %q: give key=value; the value is JSON or text, null is an explicit null, and dots in the key lead into objects", name, flag)
		}
		at := set
		for _, key := range keys[:len(keys)-1] {
			switch inner := at[key].(type) {
			case nil:
				made := map[string]any{}
				at[key] = made
				at = made
			case map[string]any:
				at = inner
			default:
				return nil, usagef("%s %q: %q was set to something that holds no keys", name, flag, key)
			}
		}
		at[keys[len(keys)-1]] = value(text)
	}
	return set, nil
}

// value reads JSON; what is no JSON is text.
func value(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return text
	}
	return v
}
