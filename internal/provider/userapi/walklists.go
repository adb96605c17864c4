package userapi

import (
	"errors"
	"slices"

	"github.com/authsync/authsync/internal/fault"
)

// ListPlace is the position of a walk through a provider's lists.
type ListPlace struct {
	List string `json:"list"`
	// ID is the last id read, for a list that is read in the order of ids; nil before the first.
	ID *string `json:"id,omitempty"`
	Mark
}

// WalkLists does RecordSource.Records for lists that are read one after another, by their names. read
// adds a page of a list to page, moves the place, and reports whether there may be more; it adds
// nothing if it fails.
//
// A list that cannot be read to its end (fault.ProviderError) is a bad entry, and those behind it are
// read all the same. Any other error is one of all lists.
func WalkLists(cursor string, names []string, read func(list int, at *ListPlace, page *RecordPage) (more bool, err error)) (RecordPage, error) {
	at := ListPlace{List: names[0]}
	if cursor != "" {
		at = ListPlace{}
		if err := DecodeCursor(cursor, &at); err != nil {
			return RecordPage{}, err
		}
	}
	list := slices.Index(names, at.List)
	if list < 0 || at.Offset < 0 {
		return RecordPage{}, ForeignCursor()
	}
	var page RecordPage
	more, err := read(list, &at, &page)
	if fault.Is(err, fault.ProviderError) && !errors.Is(err, errForeignCursor) {
		page.Bad = append(page.Bad, Bad{Place: at.List, Reason: err.Error()})
		more, err = false, nil
	}
	if err != nil {
		return RecordPage{}, err
	}
	if !more {
		if list++; list == len(names) {
			return page, nil
		}
		at = ListPlace{List: names[list]}
	}
	page.Next, err = EncodeCursor(at)
	return page, err
}
