package redact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/redact"
)

func raised(message string) *pgconn.PgError {
	return &pgconn.PgError{Severity: "ERROR", Code: "P0001", Message: message, Routine: "exec_stmt_raise"}
}

func note(seen map[string]int) error {
	seen["Ada"] = 1
	return nil
}

func TestText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"None":  {nil, ""},
		"Plain": {errors.New("out of luck"), "out of luck"},
		"Raised": {
			fmt.Errorf("apply events: %w", raised("no more of Ada")), "apply events: SQLSTATE P0001 (raised by a function or trigger)",
		},
		"QuotedValue": {
			&pgconn.PgError{Severity: "ERROR", Code: "22P02", Message: `invalid input syntax for type integer: "Ada"`}, "SQLSTATE 22P02 (data exception)",
		},
		"WordsOfOursAround": {
			fmt.Errorf("%w", fmt.Errorf("the project database says: %s; hint: %s (%w)", "no Ada", "ask Ada",
				&pgconn.PgError{Code: "23514", Message: "no Ada", Hint: "ask Ada"})),
			"the project database says: SQLSTATE 23514 (integrity constraint violation); hint: SQLSTATE 23514 (integrity constraint violation) " +
				"(SQLSTATE 23514 (integrity constraint violation))",
		},
		"OneOfSeveral": {
			errors.Join(io.EOF, fmt.Errorf("row: %w", raised("Ada"))), "EOF row: SQLSTATE P0001 (raised by a function or trigger)",
		},
		"RightsStay": {
			&pgconn.PgError{Severity: "ERROR", Code: "42501", Message: "permission denied for schema public"},
			"ERROR: permission denied for schema public (SQLSTATE 42501)",
		},
		"RightsThatATriggerClaimsDoNot": {
			&pgconn.PgError{Severity: "ERROR", Code: "42501", Message: "Ada may not", Routine: "exec_stmt_raise"},
			"SQLSTATE 42501 (syntax error or access rule violation)",
		},
		"NorWhatComesFromWithinAFunction": {
			&pgconn.PgError{Severity: "ERROR", Code: "42883", Message: "function ada() does not exist", Where: "PL/pgSQL function f()"},
			"SQLSTATE 42883 (syntax error or access rule violation)",
		},
		"Address":         {errors.New("Ada <ada@example.com>, 'ada+x@mail.example.co.uk': unknown"), "Ada <…@…>, …@…': unknown"},
		"AddressAtStart":  {errors.New("ada@example.com is taken"), "…@… is taken"},
		"AddressOfOthers": {errors.New("jürgen@bücher.example"), "…@…"},
		"ConnectionURL":   {errors.New("postgres://app@db.example.com:5432/shop is unavailable"), "postgres://app@db.example.com:5432/shop is unavailable"},
		"QueryOfAURL": {
			&url.Error{Op: "Get", URL: "https://api.example.com/users?search=Ada", Err: io.EOF}, `Get "https://api.example.com/users": EOF`,
		},
		"Lines":   {errors.New("one\ntwo\tthree"), "one two three"},
		"TooLong": {errors.New(strings.Repeat("é", 1000)), strings.Repeat("é", 500) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, redact.Text(tc.err))
		})
	}
}

func TestHandlerChangesErrorsOnly(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	log := slog.New(redact.Handler(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	err := fmt.Errorf("apply: %w", raised("Ada"))
	log.With(slog.Any("cause", err)).WithGroup("g").Info("said", slog.String("url", "x@y.example"), slog.Int("n", 1),
		slog.Group("inner", slog.Any("error", err)), slog.String("error", "of ada@example.com"), slog.Any("list", []int{1}))
	const code = `"apply: SQLSTATE P0001 (raised by a function or trigger)"`
	require.Equal(t, "level=INFO msg=said cause="+code+` g.url=x@y.example g.n=1 g.inner.error=`+code+` g.error="of …@…" g.list=[1]`+"\n", b.String())
	require.False(t, log.Enabled(t.Context(), slog.LevelDebug))
}

func TestMiddleware(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		work func(context.Context) error
		want string
	}{
		"Error":        {func(context.Context) error { return raised("Ada") }, "SQLSTATE P0001"},
		"Cancel":       {func(context.Context) error { return river.JobCancel(raised("Ada")) }, "SQLSTATE P0001"},
		"Panic":        {func(context.Context) error { panic("Ada") }, "the job panicked (string)"},
		"PanicOfError": {func(context.Context) error { panic(raised("Ada")) }, "the job panicked (*pgconn.PgError)"},
		"PanicOfGo":    {func(context.Context) error { return note(nil) }, "assignment to entry in nil map"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			m := redact.Middleware(slog.New(slog.NewTextHandler(&log, nil)))
			err := m.Work(t.Context(), &rivertype.JobRow{ID: 17, Kind: "k"}, tc.work)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error()+log.String(), "Ada")
			_, cancelled := errors.AsType[*rivertype.JobCancelError](err)
			require.Equal(t, name == "Cancel", cancelled)
			if strings.HasPrefix(name, "Panic") {
				require.Contains(t, log.String(), "job_id=17")
				require.Contains(t, log.String(), "redact_test.go")
			}
		})
	}
	m := redact.Middleware(slog.New(slog.DiscardHandler))
	require.NoError(t, m.Work(t.Context(), &rivertype.JobRow{}, func(context.Context) error { return nil }))
	snooze := river.JobSnooze(7)
	require.Equal(t, snooze, m.Work(t.Context(), &rivertype.JobRow{}, func(context.Context) error { return snooze }))
}
