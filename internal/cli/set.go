package cli

import (
	"encoding/json"
	"slices"
	"strings"
)

// parseSet turns --set flags into keys of a user object: k=v, where v is JSON if
// it reads as JSON, else text. Dots in k lead into objects; k=null is an explicit null.
func parseSet(flags []string) (map[string]any, error) {
	set := map[string]any{}
	for _, flag := range flags {
		path, text, found := strings.Cut(flag, "=")
		keys := strings.Split(path, ".")
		if !found || slices.Contains(keys, "") {
			return nil, usagef("--set %q: give key=value, such as --set email=ada@example.com, --set public_metadata.plan=pro or --set username=null", flag)
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
				return nil, usagef("--set %q: %q was set to something that holds no keys", flag, key)
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
