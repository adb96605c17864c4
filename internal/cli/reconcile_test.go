package cli_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// reconciled is a reconcile of 200,000 users that has ended, with what it found.
func reconciled(drift map[string]any, more ...any) map[string]any {
	all := map[string]any{"columns": map[string]any{}, "users": []any{}, "deletions_blocked_reason": nil}
	maps.Copy(all, drift)
	return someRun("done", 200_000, append([]any{"kind", "reconcile", "finished_at", "2026-05-04T10:21:10Z", "drift", all}, more...)...)
}

func drifted(id, finding, state string, columns ...string) map[string]any {
	return map[string]any{"user_id": id, "finding": finding, "state": state, "columns": columns}
}

func TestReconcileCommand(t *testing.T) {
	t.Parallel()

	t.Run("Equal", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 202, someRun("running", 10, "phase", "walk"), someRun("running", 200_000, "phase", "orphaned"), reconciled(nil))
		status, out, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "better-auth")
		require.Equal(t, 0, status, errs.String())
		require.Equal(t, "Equal: 200,000 users compared in 40s.\n", out.String())
		require.Equal(t, "POST /projects/shop/integrations/better_auth/reconcile", calls()[0])
	})

	t.Run("ReportsAndRepairs", func(t *testing.T) {
		t.Parallel()
		url, _ := backfillServer(t, 202, reconciled(map[string]any{
			"missing": 1200, "differing": 2, "orphaned": 1, "repaired": 1203, "columns": map[string]any{"email": 2, "username": 1},
			"users": []any{
				drifted("user_1", "missing", "repaired"), drifted("user_2", "differing", "repaired", "email", "username"),
				drifted("user_3", "orphaned", "repaired"),
			},
		}))
		status, out, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk")
		require.Equal(t, 0, status, errs.String())
		require.Equal(t, `USER    FINDING                STATE     COLUMNS
user_1  missing in the mirror  repaired  -
user_2  differs                repaired  email, username
user_3  not at the provider    repaired  -
… and 1,200 more.

                            USERS
missing in the mirror       1,200
differs                     2
deleted in the mirror only  0
not at the provider         1
placeholder, unknown there  0
  in email                  2
  in username               1

Differing: 1,203 users; the provider has 200,000 (40s). 1,203 repaired, 0 failed, 0 left as they are.
`, out.String())
	})

	t.Run("ReportsRecordsToo", func(t *testing.T) {
		t.Parallel()
		url, _ := backfillServer(t, 202, reconciled(map[string]any{
			"missing": 1, "repaired": 1, "users": []any{drifted("user_1", "missing", "repaired")},
			"records": map[string]any{
				"organization": map[string]any{"columns": map[string]any{}, "examples": []any{}, "tolerated": map[string]any{"raw.members_count": 2}},
				"membership": map[string]any{
					"orphaned": 2, "differing": 1, "repaired": 1, "left": 2, "columns": map[string]any{"role": 1}, "deletions_blocked_reason": "2 of 3 were not there",
					"examples": []any{
						map[string]any{"record_id": "org_1/user_1", "finding": "differing", "state": "repaired", "columns": []string{"role"}},
						map[string]any{"record_id": "org_1/user_2", "finding": "orphaned", "state": "open", "columns": []string{}},
					},
				},
				"invitation": map[string]any{"columns": map[string]any{}, "examples": []any{}, "unlisted_reason": "a permission is missing"},
			},
		}, "read", 200_006, "report", map[string]any{"bad": []any{}, "records": map[string]any{"user": 200_000, "organization": 1, "membership": 5}}))
		status, out, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk")
		require.Equal(t, 1, status, errs.String())
		require.Equal(t, `USER    FINDING                STATE     COLUMNS
user_1  missing in the mirror  repaired  -

RECORD                   FINDING              STATE     COLUMNS
membership/org_1/user_1  differs              repaired  role
membership/org_1/user_2  not at the provider  left      -
… and 1 more.

                            USERS  MEMBERSHIPS
missing in the mirror       1      0
differs                     0      1
deleted in the mirror only  0      0
not at the provider         0      2
placeholder, unknown there  0      0
  in role                   0      1
Not compared, because only one side says it, or only for this moment: raw.members_count (2 organizations).

Differing: 1 user, 3 memberships; the provider has 200,000 users, 1 organization, 5 memberships (40s). 2 repaired, 0 failed, 2 left as they are.
`, out.String())
		require.Contains(t, errs.String(), "No membership was deleted: 2 of 3 were not there.")
		require.Contains(t, errs.String(), "The provider's list was not read to its end, so nothing is deleted of: invitations.")
	})

	t.Run("ADryRunWithDriftIsNoSuccess", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 202, reconciled(map[string]any{
			"differing": 1, "left": 1, "users": []any{drifted("user_2", "differing", "found", "email")}, "columns": map[string]any{"email": 1},
		}, "dry_run", true))
		status, out, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk", "--dry-run")
		require.Equal(t, 1, status, errs.String())
		require.Contains(t, out.String(), "user_2  differs  left   email\n")
		require.Contains(t, out.String(), "Differing: 1 user; the provider has 200,000 (40s). Nothing was changed: without --dry-run they are repaired.\n")
		require.Len(t, calls(), 1)
	})

	t.Run("SaysWhyNobodyWasDeleted", func(t *testing.T) {
		t.Parallel()
		run := reconciled(map[string]any{
			"orphaned": 30_000, "left": 30_000, "deletions_blocked_reason": "30000 of 200000 users of the mirror were not in the provider's list",
			"users": []any{drifted("user_3", "orphaned", "open")},
		})
		url, _ := backfillServer(t, 202, run)
		status, out, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk")
		require.Equal(t, 1, status)
		require.Contains(t, errs.String(), "No user was deleted: 30000 of 200000 users of the mirror were not in the provider's list.")
		require.Contains(t, out.String(), "0 repaired, 0 failed, 30,000 left as they are.")

		url, _ = backfillServer(t, 202, run)
		status, out, _ = runCommand(t.Context(), t, url, "reconcile", "shop", "clerk", "--json")
		require.Equal(t, 1, status)
		var told struct {
			Drift struct {
				Orphaned int `json:"orphaned"`
			} `json:"drift"`
		}
		require.NoError(t, json.Unmarshal([]byte(out.String()), &told))
		require.Equal(t, 30_000, told.Drift.Orphaned)
	})

	t.Run("SaysThatTheOneThatRunsIsAnother", func(t *testing.T) {
		t.Parallel()
		for args, says := range map[string][]string{
			"--dry-run": {
				", without --dry-run or --force: this command shows that one and starts none.\n",
				"This was not the run that you asked for, but one without --dry-run or --force since 2026-05-04 10:20:30.000Z: run the command again for a run as you asked for.\n",
			},
			"": {
				"A reconcile is running already, since 2026-05-04 10:20:30.000Z: this command shows that one and starts none.\n",
				"This run began at 2026-05-04 10:20:30.000Z: what changed at the provider since may be missing from its report. Run the command again for a new one.\n",
			},
			"--no-wait": {": this command shows that one and starts none.\n"},
		} {
			url, _ := backfillServer(t, 409, someRun("running", 10, "kind", "reconcile"), reconciled(nil))
			_, out, errs := runCommand(t.Context(), t, url, append([]string{"reconcile", "shop", "clerk"}, strings.Fields(args)...)...)
			for _, text := range says {
				require.Contains(t, errs.String(), text, args)
			}
			require.Equal(t, args != "--no-wait", strings.Contains(out.String(), "Equal: 200,000 users"), args)
		}
		url, _ := backfillServer(t, 202, someRun("running", 10, "kind", "reconcile"), reconciled(nil))
		_, _, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk")
		require.NotContains(t, errs.String(), "This run began", "it is the command's own")
	})

	t.Run("StatusTellsWhatTheLastOneFound", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 202, reconciled(map[string]any{"missing": 1, "left": 1, "users": []any{drifted("user_1", "missing", "found")}}, "dry_run", true))
		status, out, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk", "--status")
		require.Equal(t, 0, status, errs.String())
		require.Contains(t, out.String(), "clerk  done  100.0%  200,000 of 200,000 users\n")
		require.Contains(t, out.String(), "Differing: 1 user; the provider has 200,000 (40s).")
		require.Equal(t, []string{"GET /projects/shop/integrations/clerk/reconcile"}, calls())
	})

	t.Run("ABackfillThatRunsIsInTheWay", func(t *testing.T) {
		t.Parallel()
		url, _ := backfillServer(t, 409, reconciled(nil), someRun("running", 10))
		status, _, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk")
		require.Equal(t, 1, status)
		require.Equal(t, "authsync: a backfill of Clerk is unfinished, and only one run at a time reads from a provider: "+
			"authsync backfill shop clerk --status shows how far it is, with --cancel it ends (409)\n", errs.String())
	})

	t.Run("WhatWasInTheWayHasEnded", func(t *testing.T) {
		t.Parallel()
		url, _ := backfillServer(t, 409, reconciled(nil))
		status, _, errs := runCommand(t.Context(), t, url, "reconcile", "shop", "clerk")
		require.Equal(t, 1, status)
		require.Equal(t, "authsync: as it is told (409)\n", errs.String())
	})

	t.Run("CtrlCLeavesItRunningAndSaysSo", func(t *testing.T) {
		t.Parallel()
		url, calls := backfillServer(t, 202, someRun("running", 10, "kind", "reconcile"))
		require.Contains(t, interrupted(t, url, "reconcile", "shop", "clerk"), "The reconcile goes on without this command. To look again: authsync reconcile shop clerk --status. "+
			"To end it: authsync reconcile shop clerk --cancel")
		require.NotContains(t, strings.Join(calls(), " "), "DELETE")
	})
}
