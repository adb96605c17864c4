package inbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// How many events are looked at for a page of those whose ids contain something, and in how many parts.
const (
	searchAtOnce = 500
	searchParts  = 4
)

// searchPage returns a page of the events that match otherwise and whose ids contain a text. No index finds a part of an id, so
// a number of events is looked at that is the same for each page. If few of them match, the page is short, and its cursor
// leads on.
func searchPage(ctx context.Context, tx pgx.Tx, f Filter, cursor string, limit int) (found []Event, next string, err error) {
	text := strings.ToLower(f.IDContains)
	f.IDContains = ""
	for range searchParts {
		page, after, err := eventsOf(ctx, tx, f, cursor, searchAtOnce)
		if err != nil {
			return nil, "", err
		}
		for i := range page {
			if !page[i].hasID(text) {
				continue
			}
			if len(found) == limit {
				last := found[limit-1]
				return found, fmt.Sprintf("%d-%d", last.InboxID, last.Ordinal), nil
			}
			found = append(found, page[i])
		}
		if cursor = after; cursor == "" {
			return found, "", nil
		}
	}
	return found, cursor, nil
}

// hasID reports whether one of an event's ids contains a text in lower case.
func (e *Event) hasID(text string) bool {
	for _, id := range []*string{e.EventID, e.MessageID, e.UserID, e.RecordID} {
		if id != nil && strings.Contains(strings.ToLower(*id), text) {
			return true
		}
	}
	return false
}
