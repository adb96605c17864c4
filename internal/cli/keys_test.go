package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKeysCreateSendsRoleAndExpiry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want map[string]any
	}{
		"Nothing": {nil, map[string]any{"role": "admin"}},
		"Role":    {[]string{"--role", "read_only"}, map[string]any{"role": "read_only"}},
		"Days":    {[]string{"--role", "operator", "--expires", "90d"}, map[string]any{"role": "operator", "expires_at": "2026-08-02T10:20:30Z"}},
		"Weeks":   {[]string{"--expires", "4w"}, map[string]any{"role": "admin", "expires_at": "2026-06-01T10:20:30Z"}},
		"Hours":   {[]string{"--expires", "36h"}, map[string]any{"role": "admin", "expires_at": "2026-05-05T22:20:30Z"}},
		"Longest": {[]string{"--expires", "65535w"}, map[string]any{"role": "admin", "expires_at": "3282-05-04T10:20:30Z"}}, // the server's to refuse
		"ATime":   {[]string{"--expires", "2026-12-31T00:00:00+01:00", "--project", "shop"}, map[string]any{"role": "admin", "expires_at": "2026-12-30T23:00:00Z", "project_id": "shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, last := answering(t, http.StatusCreated, `{"name": "x", "key": "capy_live_x", "role": "operator", "expires_at": "2026-08-02T10:20:30Z"}`)
			r := runAt(t, env, append([]string{"keys", "create", "x"}, tc.args...)...)
			require.Zero(t, r.status, r.err)
			require.Equal(t, "capy_live_x\n", r.out)
			require.Contains(t, r.err, "This is key x, for all projects, with the role operator, until 2026-08-02 10:20:30.000Z. Keep it")
			sent := last()
			require.Equal(t, "POST /keys", sent.call)
			tc.want["name"], tc.want["test"] = "x", false
			require.Equal(t, tc.want, sent.body)
		})
	}
	for _, args := range [][]string{
		{"--role", ""},
		{"--role", "root"},
		{"--role", "read-only"},
		{"--expires", "soon"},
		{"--expires", "d"},
		{"--expires", "90"},
		{"--expires", "-1d"},
		{"--expires", "1m"},
		{"--expires", "1.5d"},
		{"--expires", "65536d"},
		{"--expires", "2026-12-31"},
	} {
		env, last := answering(t, http.StatusCreated, `{}`)
		r := runAt(t, env, append([]string{"keys", "create", "x"}, args...)...)
		require.Equal(t, 2, r.status, args)
		require.Contains(t, r.err, args[0]+" is \""+args[1]+"\": give ")
		require.Empty(t, last().call)
	}
}

// runAt runs a command at 10:20:30 of 4 May 2026.
func runAt(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs strings.Builder
	status := Main(t.Context(), Process{
		Program: programName, Args: args, In: strings.NewReader(""), Out: &out, Err: &errs,
		Lookup: func(name string) string { return env[name] },
		Now:    func() time.Time { return time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC) },
		Screen: func(any) (int, bool) { return 80, true },
	})
	return result{out.String(), errs.String(), status}
}

func TestKeysListFitsATerminal(t *testing.T) {
	t.Parallel()
	env, _ := answering(t, http.StatusOK, `{"data": [
		{"id": "3f2c8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f61", "name": "a key with quite a long name", "hint": "capy_live_aB3d", "role": "read_only",
			"project_id": "0b7f6ad2-95a1-4a34-a1f4-9d3f00f1c2aa", "expires_at": "2026-05-05T00:00:00Z", "last_used_at": "2026-05-04T10:00:00Z"},
		{"id": "5b1d8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f62", "name": "old", "hint": "capy_test_0000", "role": "operator", "expires_at": "2026-05-04T10:20:30Z"},
		{"id": "9f4e8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f63", "name": "gone", "hint": "capy_live_1111", "role": "admin", "revoked_at": "2026-05-01T00:00:00Z",
			"expires_at": "2026-05-02T00:00:00Z"},
		{"id": "af4e8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f64", "name": "ops", "hint": "capy_live_2222", "role": "admin"}]}`)
	env["NO_COLOR"] = "1"
	r := runAt(t, env, "keys", "list")
	require.Zero(t, r.status, r.err)
	for line := range strings.Lines(r.out) {
		require.LessOrEqual(t, columns(strings.TrimSuffix(line, "\n")), 80, line)
	}
	require.Equal(t, ""+
		"NAME         KEY         PROJECT      ROLE       EXPIRES     LAST USED   STATE\n"+
		"a key with…  live_aB3d…  0b7f6ad2-9…  read_only  2026-05-05  2026-05-04  active\n"+
		"  3f2c8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f61\n"+
		"old          test_0000…  all          operator   2026-05-04  -           expired\n"+
		"  5b1d8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f62\n"+
		"gone         live_1111…  all          admin      2026-05-02  -           revoked\n"+
		"  9f4e8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f63\n"+
		"ops          live_2222…  all          admin      never       -           active\n"+
		"  af4e8a1e-5b1d-4d0e-9f4e-0a4d8c2b7f64\n", r.out)
}
