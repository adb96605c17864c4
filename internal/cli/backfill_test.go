package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/cli"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// lockedBuffer may be read while the command writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// backfillServer answers as the API does: each look gives the next of the runs, the last for ever.
func backfillServer(t *testing.T, postStatus int, runs ...map[string]any) (url string, calls func() []string) {
	t.Helper()
	var mu sync.Mutex
	var made []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/capydb/v1"))
		if r.Method == http.MethodPost && postStatus >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(postStatus)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": postStatus, "code": "run_unfinished", "detail": "as it is told"})
			return
		}
		run := runs[0]
		if len(runs) > 1 && r.Method == http.MethodGet {
			runs = runs[1:]
		}
		_ = json.NewEncoder(w).Encode(run)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), made...)
	}
}

// someRun is a run of 200,000 users.
func someRun(state string, read int, more ...any) map[string]any {
	run := map[string]any{
		"id": "r1", "provider": "clerk", "state": state, "total": 200_000, "read": read, "applied": read,
		"started_at": "2026-05-04T10:20:30Z", "report": map[string]any{"bad": []any{}},
	}
	for i := 0; i < len(more); i += 2 {
		run[fmt.Sprint(more[i])] = more[i+1]
	}
	return run
}

func runCommand(ctx context.Context, t *testing.T, url string, args ...string) (status int, out, errs *lockedBuffer) {
	t.Helper()
	out, errs = &lockedBuffer{}, &lockedBuffer{}
	return cli.Main(ctx, process(url, out, errs, args...)), out, errs
}

func process(url string, out, errs *lockedBuffer, args ...string) cli.Process {
	environment := map[string]string{"AUTHSYNC_URL": url, "AUTHSYNC_API_KEY": "capy_test_x"}
	return cli.Process{
		Program: "authsync", Args: args, In: strings.NewReader(""), Out: out, Err: errs,
		Lookup: func(name string) string { return environment[name] }, Now: time.Now,
	}
}

// interrupted gives what a command says to Ctrl-C while a run is shown.
func interrupted(t *testing.T, url string, args ...string) string {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	ended := make(chan int, 1)
	go func() { ended <- cli.Main(ctx, process(url, out, errs, args...)) }()
	waittest.Until(t, func() bool { return strings.Contains(errs.String(), "running") })
	interrupt()
	require.Equal(t, 1, <-ended)
	return errs.String()
}

func TestBackfillCommand(t *testing.T) {
	t.Parallel()
	const path = "/projects/shop/integrations/better_auth/backfill"
	done := someRun("done", 200_000, "finished_at", "2026-05-04T10:21:10Z")

	t.Run("FollowsToTheEnd", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 202, someRun("waiting", 0),
			someRun("running", 90_400, "per_second", 5120.4, "seconds_left", 21.4), done)
		status, out, errs := runCommand(t.Context(), t, url, "backfill", "shop", "better-auth")
		require.Equal(t, 0, status, errs.String())
		require.Equal(t, "Done in 40s: 200,000 users read, 200,000 new or changed, 0 unchanged, 0 failed.\n", out.String())
		require.Equal(t, "clerk  waiting    0.0%  0 of 200,000 users\n"+
			"clerk  running   45.2%  90,400 of 200,000 users  5,120/s  0:21 left\n"+
			"clerk  done  100.0%  200,000 of 200,000 users\n", errs.String())
		require.Equal(t, []string{"POST " + path, "GET " + path, "GET " + path, "GET " + path}, calls())
	})

	t.Run("SaysWhatItWillCostBeforeItIsPaid", func(t *testing.T) {
		t.Parallel()
		report := func(notes []any, organizations, memberships int) map[string]any {
			return map[string]any{"bad": []any{}, "notes": notes, "records": map[string]any{"user": 200_000, "organization": organizations, "membership": memberships}}
		}
		cost := []any{"for 1 organization that is at least 3 calls"}
		url, _ := backfillServer(t, 202, someRun("running", 200_000), someRun("running", 200_001, "phase", "records", "report", report(cost, 1, 0)),
			someRun("waiting", 201_235, "phase", "records", "report", report(cost, 1, 1234)),
			someRun("done", 201_235, "phase", "records", "report", report(append(cost, "no more"), 1, 1234), "finished_at", "2026-05-04T10:21:10Z"))
		status, out, errs := runCommand(t.Context(), t, url, "backfill", "shop", "better-auth")
		require.Equal(t, 0, status, errs.String())
		require.Equal(t, "Done in 40s: 200,000 users read, and 1 organization, 1,234 memberships: 201,235 new or changed, 0 unchanged, 0 failed.\n", out.String())
		require.Equal(t, "clerk  running  100.0%  200,000 of 200,000 users\n"+
			"Note: for 1 organization that is at least 3 calls.\n"+
			"clerk  waiting  reads organizations, memberships and invitations  100.0%  200,000 of 200,000 users  1 organization  1,234 memberships\n"+
			"clerk  done  100.0%  200,000 of 200,000 users  1 organization  1,234 memberships\n"+
			"Note: no more.\n", errs.String())
	})

	t.Run("AttachesToTheOneThatRuns", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 409, someRun("running", 10), done)
		status, out, errs := runCommand(t.Context(), t, url, "backfill", "shop", "better_auth", "--json")
		require.Equal(t, 0, status, errs.String())
		require.Contains(t, errs.String(), "A backfill is running already")
		require.Len(t, calls(), 3)
		var run map[string]any
		require.NoError(t, json.Unmarshal([]byte(out.String()), &run))
		require.Equal(t, "done", run["state"])
	})

	t.Run("CtrlCLeavesItRunningAndSaysSo", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 202, someRun("running", 10))
		require.Contains(t, interrupted(t, url, "backfill", "shop", "clerk"), "The backfill goes on without this command. To look again: authsync backfill shop clerk.")
		for _, call := range calls() {
			require.NotContains(t, call, "DELETE")
		}
	})

	t.Run("NoWaitStatusAndCancelReturnAtOnce", func(t *testing.T) {
		t.Parallel()
		for flag, method := range map[string]string{"--no-wait": "POST", "--status": "GET", "--cancel": "DELETE"} {
			url, calls := backfillServer(t, 202, someRun("running", 10, "wait_reason", "a pause of 1m0s"))
			status, out, errs := runCommand(t.Context(), t, url, "backfill", "shop", "better_auth", flag)
			require.Equal(t, 0, status, errs.String())
			require.Equal(t, "clerk  running    0.0%  10 of 200,000 users  waits: a pause of 1m0s\n", out.String())
			require.Equal(t, []string{method + " " + path}, calls())
		}
		status, _, _ := runCommand(t.Context(), t, "http://127.0.0.1:1", "backfill", "shop", "clerk", "--no-wait", "--cancel")
		require.Equal(t, 2, status)
		status, _, errs := runCommand(t.Context(), t, "http://127.0.0.1:1", "backfill", "shop", "okta")
		require.Equal(t, 2, status)
		require.Contains(t, errs.String(), "auth0, clerk, better_auth")
	})

	t.Run("OnlyAllUsersAreASuccess", func(t *testing.T) {
		t.Parallel()
		const ended = "2026-05-04T10:21:10Z"
		for says, run := range map[string]map[string]any{
			"Clerk refuses secret_key": someRun("failed", 10, "finished_at", ended, "error", "Clerk refuses secret_key"),
			"was cancelled":            someRun("cancelled", 10, "finished_at", ended),
			"line 17": someRun("done", 10, "finished_at", ended, "failed", 1, "total", nil,
				"report", map[string]any{"bad": []any{map[string]any{"place": "line 17", "reason": "it is not JSON"}}}),
		} {
			url, _ := backfillServer(t, 202, run)
			status, out, errs := runCommand(t.Context(), t, url, "backfill", "shop", "clerk")
			require.Equal(t, 1, status)
			require.Contains(t, out.String()+errs.String(), says)
		}
		url, _ := backfillServer(t, 422)
		status, _, errs := runCommand(t.Context(), t, url, "backfill", "shop", "clerk")
		require.Equal(t, 1, status)
		require.Contains(t, errs.String(), "as it is told")
	})
}

func TestGrantCommand(t *testing.T) {
	t.Parallel()
	url, calls := backfillServer(t, 200, map[string]any{
		"role": "shop_app", "granted": []string{"USAGE ON SCHEMA capydb_auth"},
		"sees": []map[string]any{{"relation": "capydb_auth.users", "rows": "no row: …"}},
	})
	status, out, errs := runCommand(t.Context(), t, url, "grant", "shop", "shop_app", "--read", "mirror,feed")
	require.Equal(t, 0, status, errs.String())
	require.Equal(t, "ROLE      MAY\nshop_app  USAGE ON SCHEMA capydb_auth\n\nOF                 IT SEES\ncapydb_auth.users  no row: …\n", out.String())
	require.Equal(t, []string{"POST /projects/shop/grants"}, calls())
}
