package userapitest

import (
	"testing"
	"time"

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

// Ref names a record; the organization of all but an invitation is empty.
func Ref(t record.Type, id, organizationID string) userapi.RecordRef {
	return userapi.RecordRef{Ref: record.Ref{Type: t, ID: id}, OrganizationID: organizationID}
}

// RequireRecords looks records up, one by one. Each has the object that is given, of which an empty one says
// that the record is gone, and a time that allows for what answers may lag. now is the clock of the source.
func RequireRecords(tb testing.TB, source userapi.Source, now func() time.Time, records map[userapi.RecordRef]string) {
	tb.Helper()
	reader, ok := source.(userapi.RecordSource)
	require.True(tb, ok, "the source reads records")
	for ref, object := range records {
		found, err := reader.Record(tb.Context(), ref)
		if object == "" {
			require.ErrorIs(tb, err, userapi.ErrGone, "%+v", ref)
			continue
		}
		require.NoError(tb, err, "%+v", ref)
		require.Equal(tb, ref.Type, found.Type)
		require.JSONEq(tb, object, string(found.Object))
		require.False(tb, found.FetchedAt.IsZero())
		require.False(tb, found.FetchedAt.After(now().Add(-userapi.LagOf(source, ref.Type))), "it may lag so far")
	}
}
