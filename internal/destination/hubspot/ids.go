package hubspot

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/authsync/authsync/internal/destination"
)

// idsOf returns the record ids of the objects with these values of id_property, which see the latest writes. Values without an
// object are missing in it.
func (s *sending) idsOf(ctx context.Context, of *objects, keys []string) (map[string]string, *destination.Result) {
	found := map[string]string{}
	slices.Sort(keys)
	for part := range slices.Chunk(slices.Compact(keys), batchMax) {
		if trouble := s.addIDs(ctx, of, part, found); trouble != nil {
			s.stopOn(trouble)
			return nil, trouble
		}
	}
	return found, nil
}

// addIDs adds what it finds. A rejected batch is bisected.
func (s *sending) addIDs(ctx context.Context, of *objects, keys []string, found map[string]string) *destination.Result {
	if held := s.held(ctx); held != nil {
		return held
	}
	if len(keys) == 1 {
		one, trouble := s.read(ctx, of, lookup{keys[0], of.IDProperty})
		if one != nil {
			found[keys[0]] = one.id
		}
		return trouble
	}
	inputs := make([]map[string]string, len(keys))
	for i, key := range keys {
		inputs[i] = map[string]string{"id": key}
	}
	a, trouble := s.call(ctx, request{http.MethodPost, of.path() + "/batch/read", nil, map[string]any{
		"idProperty": of.IDProperty, "properties": []string{of.IDProperty}, "inputs": inputs,
	}})
	if trouble != nil {
		return trouble
	}
	parts := [][]string{keys[:len(keys)/2], keys[len(keys)/2:]}
	if a.ok() {
		parts = unanswered(a, of.IDProperty, keys, found)
	}
	for _, part := range parts {
		if trouble := s.addIDs(ctx, of, part, found); trouble != nil {
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
