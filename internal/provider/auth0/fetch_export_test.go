package auth0_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func TestAThousandUsersAreExported(t *testing.T) {
	t.Parallel()
	for users, exported := range map[int]int{999: 0, 1000: 1} {
		server, c := fake(t, users)
		pages := walk(t, open(t, c), c, nil)
		got, _ := read(pages)
		require.Equal(t, users, got)
		require.EqualValues(t, users, pages[0].Total)
		require.Equal(t, exported, server.Requests("/jobs/users-exports"), "%d users", users)
	}
}

func TestListThatGrowsTooLongIsExported(t *testing.T) {
	t.Parallel()
	_, c := fake(t, 990)
	var restarted userapi.Page
	pages := walk(t, open(t, c), c, func(n int, p userapi.Page) {
		if n == 3 {
			for range 20 {
				c.Account.Create()
			}
		}
		if p.Restarted {
			restarted = p
		}
	})
	got, _ := read(pages)
	require.Equal(t, 3*50+1010, got)
	require.Contains(t, restarted.Note, "too many users to be listed")
}

func TestExportTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1200)
	server.Polls = 1
	pages := walk(t, open(t, c), c, nil)
	require.Equal(t, "Auth0 prepares the export: 40 %", pages[1].Note)
	require.Equal(t, 6*time.Second, pages[1].Wait, "half of the time that is left")
	require.JSONEq(t, `{"mode":"export","total":1200,"job":"job_1","asked":"2026-05-04T03:02:01Z"}`, pages[1].Next)
	require.JSONEq(t, `{"mode":"export","total":1200,"job":"job_1","line":500,"asked":"2026-05-04T03:02:01Z"}`, pages[2].Next)
	require.Equal(t, "2026-05-04T03:02:01Z", pages[2].Users[0].FetchedAt.Format(time.RFC3339), "an export is as old as its job")
	require.Contains(t, string(pages[2].Users[0].Object), `"logins_count"`, "all fields are asked for")
	require.Equal(t, 1, server.Requests("/exports/"), "one download serves all pages")
}

// The id of the job is part of the walk's place, which is stored with each page.
func TestOverlongJobIDIsRefused(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1000)
	body := `{"id":"job_` + strings.Repeat("x", 600) + `","status":"pending"}`
	for range 10 { // attempts
		server.Fail(demoprovider.Fault{Path: "/jobs/users-exports", Status: http.StatusCreated, Body: body})
	}
	_, err := open(t, c).Page(t.Context(), "")
	require.ErrorContains(t, err, "it is no job with id and status")
}

func TestExpiredLinkIsAskedForAgain(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1700)
	opened := 0
	server.Begun = func(r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/exports/") {
			if opened++; opened == 1 {
				c.Clock.Advance(61 * time.Second)
			}
		}
	}
	got, _ := read(walk(t, open(t, c), c, nil))
	require.Equal(t, 1700, got)
	require.Equal(t, 2, opened)
}

func TestExportIsBegunAnew(t *testing.T) {
	t.Parallel()
	t.Run("WhenItFails", func(t *testing.T) {
		t.Parallel()
		server, c := fake(t, 1200)
		server.FailJobs = 2
		pages := walk(t, open(t, c), c, nil)
		got, _ := read(pages)
		require.Equal(t, 1200, got)
		require.True(t, pages[1].Restarted)
		require.Equal(t, `the export is begun anew: Auth0 says that the job is "failed": timed out`, pages[1].Note)
		require.Contains(t, pages[2].Next, `"restarts":2`)
	})
	t.Run("WhenADayIsOver", func(t *testing.T) {
		t.Parallel()
		server, c := fake(t, 1200)
		source := open(t, c)
		closer, ok := source.(io.Closer)
		require.True(t, ok)
		var notes []string
		pages := walk(t, source, c, func(n int, p userapi.Page) {
			if n == 2 { // 500 users were read when everything stands still for a day
				require.NoError(t, closer.Close())
				c.Clock.Advance(25 * time.Hour)
			}
			notes = append(notes, p.Note)
		})
		got, _ := read(pages)
		require.Equal(t, 500+1200, got)
		require.Contains(t, notes[2], "keeps one for a day")
		require.Equal(t, 2, server.Requests("/jobs/users-exports"))
	})
	t.Run("ButNotForEver", func(t *testing.T) {
		t.Parallel()
		server, c := fake(t, 1200)
		server.EmptyExport = true
		source := open(t, c)
		cursor, restarts := "", 0
		for {
			page, err := source.Page(t.Context(), cursor)
			if err != nil {
				require.True(t, fault.Is(err, fault.ProviderError), err)
				require.ErrorContains(t, err, "6 exports came to nothing, the last one so: the export is empty")
				require.Equal(t, 5, restarts)
				return
			}
			require.NotEmpty(t, page.Next, "nothing is not the end of 1200 users")
			if page.Restarted {
				restarts++
			}
			cursor = page.Next
		}
	})
}

func TestBrokenLinesAreReportedWithTheirNumber(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1200)
	server.BrokenLines = map[int]string{
		17: `{"user_id":"auth0|1","email":`, 600: `"a text"`, 601: `{"email":"nobody@example.com"}`, 700: ``,
		800: `{"user_id":"` + strings.Repeat("x", 3<<20) + `"}`, 1200: `{"user_id":7`,
	}
	got, bad := read(walk(t, open(t, c), c, nil))
	require.Equal(t, 1200-6, got)
	require.Equal(t, []userapi.Bad{
		{Place: "line 17", Reason: "the line is not JSON"},
		{Place: "line 600", Reason: "it is a text, not an object"},
		{Place: "line 601", Reason: "the object has no user_id"},
		{Place: "line 800", Reason: "the line is longer than 2 MiB"},
		{Place: "line 1200", Reason: "the line is not JSON"},
	}, bad)
}

func TestTruncatedExportGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		server, c := fake(t, 1700)
		server.Plain = plain
		server.Fail(demoprovider.Fault{Path: "/exports/", Cut: true})
		var ids []string
		source := open(t, c)
		ids = c.Walk(t, "", func() userapi.Source { return source }, nil)
		slices.Sort(ids)
		require.Equal(t, c.Want(), ids)
		require.Equal(t, 2, server.Requests("/exports/"))
	}
}

func TestCancelledWhileTheExportStalls(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1700)
	server.Fail(demoprovider.Fault{Path: "/exports/", Stall: true})
	source := open(t, c)
	begun, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	first, err := source.Page(t.Context(), begun.Next)
	require.NoError(t, err)
	left := errors.New("the worker stops")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, left)
	defer cancel()
	_, err = source.Page(ctx, first.Next) // half of the export never comes
	require.ErrorIs(t, err, left, "the call ends with its context")
	again, err := source.Page(t.Context(), first.Next)
	require.NoError(t, err)
	require.Len(t, again.Users, 500)
}

// Not parallel: it looks at the memory of the whole process.
func TestExportIsNeverInMemoryAsAWhole(t *testing.T) { //nolint:paralleltest // see above
	const users = 40_000
	server, c := fake(t, users)
	server.Plain = true // so that the connection's buffers hold little of it
	var begin runtime.MemStats
	var greatest uint64
	runtime.GC()
	runtime.ReadMemStats(&begin)
	got := 0
	source := open(t, c)
	cursor := ""
	for page := 0; page == 0 || cursor != ""; page++ {
		p, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		got += len(p.Users)
		cursor = p.Next
		if page == 2 {
			require.Less(t, server.Sent(), int64(20<<20), "the server waits for the reader")
		}
		if page%20 == 0 {
			var now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&now)
			greatest = max(greatest, now.HeapAlloc)
		}
	}
	require.Equal(t, users, got)
	require.Greater(t, server.Sent(), int64(32<<20), "the size of the export")
	require.Less(t, greatest, begin.HeapAlloc+16<<20, "live heap")
}
