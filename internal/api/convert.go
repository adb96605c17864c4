package api

import (
	"time"

	"github.com/google/uuid"
)

// each makes a document of each entry of a list; the list is never null.
func each[From, To any](list []From, of func(From) To) []To {
	documents := make([]To, len(list))
	for i, one := range list {
		documents[i] = of(one)
	}
	return documents
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func idOrNull(id *uuid.UUID) *string {
	if id == nil {
		return nil
	}
	s := id.String()
	return &s
}
