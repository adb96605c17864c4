package userapi

import (
	"errors"
	"slices"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// ListPlace is the position of a walk through a provider's lists.
type ListPlace struct {
	List string `json:"list"`
	// ID is the last id read, for a list that is read in the order of ids; nil before the first.
	ID *string `json:"id,omitempty"`
	Mark
}

// NamedList is a list of records of one type.
type NamedList struct {
	Name string
	Of   record.Type
}

// WalkLists does RecordSource.Records for lists that are read one after another. read
// adds a page of a list to page, moves the place, and reports whether there may be more; it adds
// nothing if it fails.
//
// A list that cannot be read to its end (fault.ProviderError) is a bad entry, and those behind it are
// read all the same. Any other error is one of all lists.
func WalkLists(cursor string, lists []NamedList, read func(list int, at *ListPlace, page *RecordPage) (more bool, err error)) (RecordPage, error) {
	at := ListPlace{List: lists[0].Name}
	if cursor != "" {
		at = ListPlace{}
		if err := DecodeCursor(cursor, &at); err != nil {
			return RecordPage{}, err
		}
	}
	list := slices.IndexFunc(lists, func(l NamedList) bool { return l.Name == at.List })
	if list < 0 || at.Offset < 0 {
		return RecordPage{}, ForeignCursor()
	}
	var page RecordPage
	more, err := read(list, &at, &page)
	if fault.Is(err, fault.ProviderError) && !errors.Is(err, errForeignCursor) {
		page.Bad = append(page.Bad, Bad{Place: at.List, Reason: err.Error()})
		page.Unlist(err.Error(), lists[list].Of)
		more, err = false, nil
	}
	if err != nil {
		return RecordPage{}, err
	}
	if !more {
		if list++; list == len(lists) {
			return page, nil
		}
		at = ListPlace{List: lists[list].Name}
	}
	page.Next, err = EncodeCursor(at)
	return page, err
}
