package userapitest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Records is what a walk through a provider's records has read.
type Records struct {
	Read  []userapi.Record
	Bad   []userapi.Bad
	Notes []string
	// Unlisted are the types whose lists are not complete, once for each reason.
	Unlisted []record.Type
	Pages    int
}

// Of are the objects of a type.
func (r *Records) Of(t record.Type) (objects []string) {
	for _, one := range r.Read {
		if one.Type == t {
			objects = append(objects, string(one.Object))
		}
	}
	return objects
}

// WalkRecords reads all records. open is asked for a source before each page, so that it may return
// another one, as another process would have. onPage, if not nil, is called after each page.
func WalkRecords(tb testing.TB, open func() userapi.Source, onPage func(page int, p userapi.RecordPage)) (all Records, err error) {
	tb.Helper()
	for cursor := ""; ; {
		source, ok := open().(userapi.RecordSource)
		require.True(tb, ok, "the source reads records")
		page, err := source.Records(tb.Context(), cursor)
		if err != nil {
			return all, err
		}
		all.Pages++
		require.Less(tb, all.Pages, 10_000, "the walk has no end")
		all.Read, all.Bad, all.Notes = append(all.Read, page.Records...), append(all.Bad, page.Bad...), append(all.Notes, page.Notes...)
		for _, of := range page.Unlisted {
			all.Unlisted = append(all.Unlisted, of.Type)
		}
		for _, r := range page.Records {
			require.False(tb, r.FetchedAt.IsZero())
		}
		if onPage != nil {
			onPage(all.Pages, page)
		}
		if page.Next == "" {
			return all, nil
		}
		require.NotEqual(tb, cursor, page.Next, "the walk stands still")
		cursor = page.Next
	}
}
