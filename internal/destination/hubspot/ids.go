package hubspot

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/authsync/authsync/internal/destination"
)

// idsOf returns the record ids of the objects with these values of id_property, which see the latest writes. Values without an
// object are missing in it.
// rows are those that ask for each key.
func (s *sending) idsOf(ctx context.Context, of *objects, rows map[string][]*row) (map[string]string, *destination.Result) {
	found := map[string]string{}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(rows)), batchMax) {
		if trouble := s.addIDs(ctx, search{of, rows, found}, part); trouble != nil {
			s.stopOn(trouble)
			return nil, trouble
		}
	}
	return found, nil
}

// search is one for objects by their id_property: for the rows of each key, with what it has found.
type search struct {
	of    *objects
	rows  map[string][]*row
	found map[string]string
}

// addIDs adds what it finds of some keys. A rejected batch is bisected.
func (s *sending) addIDs(ctx context.Context, by search, keys []string) *destination.Result {
	if held := s.held(ctx); held != nil {
		return held
	}
	if len(keys) == 1 {
		one, trouble := s.read(ctx, by.of, lookup{keys[0], by.of.IDProperty}, by.rows[keys[0]]...)
		if one != nil {
			by.found[keys[0]] = one.id
		}
		return trouble
	}
	inputs := make([]map[string]string, len(keys))
	var about []share
	for i, key := range keys {
		inputs[i] = map[string]string{"id": key}
		for _, r := range by.rows[key] {
			about = append(about, share{r, inputs[i]})
		}
	}
	a, trouble := s.call(ctx, request{http.MethodPost, by.of.path() + "/batch/read", nil, map[string]any{
		"idProperty": by.of.IDProperty, "properties": []string{by.of.IDProperty}, "inputs": inputs,
	}}, about...)
	if trouble != nil {
		return trouble
	}
	parts := [][]string{keys[:len(keys)/2], keys[len(keys)/2:]}
	if a.ok() {
		parts = unanswered(a, by.of.IDProperty, keys, by.found)
	}
	for _, part := range parts {
		if trouble := s.addIDs(ctx, by, part); trouble != nil {
			return trouble
		}
	}
	return nil
}

// unanswered adds what a batch found, and returns the keys about which it says nothing, each on its own.
func unanswered(a *answer, idProperty string, keys []string, found map[string]string) (parts [][]string) {
	var said batchAnswer
	json.Unmarshal(a.body, &said) //nolint:errcheck,gosec // keys without an answer are read alone
	missing := map[string]bool{}
	for _, raw := range said.Errors {
		if r := readRefusal(raw); r.Category == "OBJECT_NOT_FOUND" {
			for _, key := range r.Context.IDs {
				missing[key] = true
			}
		}
	}
	for _, raw := range said.Results {
		var one object
		if json.Unmarshal(raw, &one) == nil && one.ID != "" {
			found[one.Properties[idProperty]] = one.ID
		}
	}
	for _, key := range keys {
		if found[key] == "" && !missing[key] {
			parts = append(parts, []string{key})
		}
	}
	return parts
}
