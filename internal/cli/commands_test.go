package cli

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/seal"
)

func TestCommandsAgainstAServer(t *testing.T) {
	t.Parallel()
	b := setup(t)

	decode := func(t *testing.T, text string, into any) {
		t.Helper()
		require.NoError(t, json.Unmarshal([]byte(text), into), text)
	}

	for _, name := range []string{"auth0", "clerk", "better-auth"} {
		t.Run("Verify/"+name, func(t *testing.T) {
			t.Parallel()
			out := b.must(t, "self-test", "shop", name)
			require.Contains(t, out, "6 of 6 checks passed.")
			require.NotContains(t, out, "not ok")

			var checks []check
			decode(t, b.must(t, "self-test", "shop", name, "--json"), &checks)
			require.Len(t, checks, 6)
		})

		t.Run("SendBecomesARow/"+name, func(t *testing.T) {
			t.Parallel()
			user := "u-" + name
			out := b.must(t, "send", "shop", name, "user.created", "--user", user, "--set", "email=first@example.com", "--wait")
			require.Contains(t, out, "applied")
			out = b.must(t, "send", "shop", name, "user.updated", "--user", user, "--set", "email=old@example.com", "--at", "2h", "--wait")
			require.Contains(t, out, "stale")

			out = b.must(t, "explain", "shop", user)
			require.Regexp(t, `(?m)^email +first@example\.com `, out)
			require.Regexp(t, `(?s)that lost.*\nemail +old@example\.com `, out)
			require.Contains(t, out, "newer events had already set all its fields")

			var why explanation
			decode(t, b.must(t, "explain", "shop", user, "--json"), &why)
			require.Equal(t, "first@example.com", why.Record.Record["email"])
			require.Len(t, why.Events, 2)
			require.Equal(t, "stale", why.Events[1].Outcome)
		})
	}

	t.Run("AnExplicitNullClears", func(t *testing.T) {
		t.Parallel()
		b.must(t, "send", "shop", "clerk", "user.created", "--user", "u-null", "--at", "1m", "--wait")
		b.must(t, "send", "shop", "clerk", "user.updated", "--user", "u-null", "--set", "username=null", "--wait")
		var why explanation
		decode(t, b.must(t, "explain", "shop", "u-null", "--json"), &why)
		require.Nil(t, why.Record.Record["username"])
		require.NotNil(t, why.Record.Record["first_name"])
	})

	t.Run("ASecretGivenByHandSignsWithoutTheDatabase", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_URL": b.app.URL(), "AUTHSYNC_API_KEY": b.env["AUTHSYNC_API_KEY"]}
		r := run(t.Context(), env, "a plain secret of the stream", "send", "shop", "auth0", "user.created", "--secret-file", "-")
		require.Zero(t, r.status, r.err)
		r = run(t.Context(), env, "another one", "send", "shop", "auth0", "user.created", "--secret-file", "-")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "401")
	})

	t.Run("ListAndShow", func(t *testing.T) {
		t.Parallel()
		b.must(t, "send", "shop", "clerk", "user.created", "--user", "u-list", "--id", "msg_list", "--wait")
		var events []struct {
			ID      string
			Outcome string
		}
		decode(t, b.must(t, "events", "list", "shop", "--event", "msg_list", "--json"), &events)
		require.Len(t, events, 1)
		require.Equal(t, "applied", events[0].Outcome)

		out := b.must(t, "events", "get", "shop", events[0].ID)
		require.Contains(t, out, "u-list")
		require.Contains(t, out, "No job is left")
		var body struct{ Type string }
		decode(t, b.must(t, "events", "get", "shop", events[0].ID, "--body"), &body)
		require.Equal(t, "user.created", body.Type)

		dry := b.run(t, "events", "replay", "shop", "--user", "u-list", "--dry-run")
		require.Contains(t, dry.out, "u-list")
		require.Contains(t, dry.err, "Nothing was done")
		require.Contains(t, b.must(t, "events", "replay", "shop", events[0].ID), "(jobs: 1)")
		require.Equal(t, "No events.\n", b.must(t, "events", "list", "shop", "--user", "nobody"))
	})

	t.Run("EventsOfOtherTypesAreIgnoredAndListed", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, b.must(t, "send", "shop", "clerk", "organizationDomain.created", "--wait"), "ignored")
	})

	t.Run("OrganizationsAndMembershipsAreApplied", func(t *testing.T) {
		t.Parallel()
		for _, eventType := range []string{
			"organizationMembership.created", "organization.created", "organizationInvitation.created", "organizationMembership.deleted",
			"organization.deleted",
		} {
			require.Contains(t, b.must(t, "send", "shop", "clerk", eventType, "--organization", "org_1", "--user", "user_1", "--wait"), "applied", eventType)
		}
		require.Contains(t, b.must(t, "send", "shop", "clerk", "session.created", "--wait"), "record_types")
	})

	t.Run("ProjectsAndKeys", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, b.must(t, "projects", "list"), "shop")
		shown := b.must(t, "projects", "get", "shop")
		require.Contains(t, shown, "better_auth")
		require.NotContains(t, shown, "whsec_")

		var key struct{ ID, Key string }
		decode(t, b.must(t, "keys", "create", "limited", "--project", "shop", "--json"), &key)
		require.Regexp(t, `(?m)^limited +live_\S+ +shop +admin `, b.must(t, "keys", "list"))
		require.Contains(t, b.run(t, "keys", "create", "other", "--project", "shop").err, "This is key other, for project shop, with the role admin.")
		require.True(t, strings.HasPrefix(key.Key, "capy_live_"), key.Key)
		limited := map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_URL": b.app.URL(), "AUTHSYNC_API_KEY": key.Key}
		require.Zero(t, run(t.Context(), limited, "", "events", "list", "shop").status)
		require.Equal(t, 1, run(t.Context(), limited, "", "keys", "list").status)
		readOnly := maps.Clone(limited)
		readOnly["AUTHSYNC_API_KEY"] = strings.TrimSpace(b.must(t, "keys", "create", "watch", "--role", "read_only", "--expires", "90d"))
		require.Zero(t, run(t.Context(), readOnly, "", "keys", "list").status)
		r := run(t.Context(), readOnly, "", "events", "replay", "shop", "--outcome", "failed")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "this key has the role read_only, and this call needs operator: use a key with that role")
		b.must(t, "keys", "revoke", key.ID, "--yes")
		require.Equal(t, 1, run(t.Context(), limited, "", "events", "list", "shop").status)
		require.NotContains(t, b.must(t, "keys", "list", "--json"), key.Key)
	})

	t.Run("DoctorFindsAllWell", func(t *testing.T) {
		t.Parallel()
		r := b.run(t, "doctor")
		require.NotContains(t, r.out, "failed   ")
		require.Zero(t, r.status, r.out)
		require.Contains(t, r.out, "project shop")
	})

	t.Run("DoctorSaysWhatIsWrong", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{
			"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_URL": "http://127.0.0.1:1", "AUTHSYNC_API_KEY": "capy_test_x",
			"DATABASE_URL": b.env["DATABASE_URL"], "AUTHSYNC_ENCRYPTION_KEY": "bm90IHRoZSByaWdodCBvbmUsIGJ1dCAzMiBieXRlcyE=",
		}
		r := run(t.Context(), env, "", "doctor")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "failed   server: nothing answers at http://127.0.0.1:1")
		require.Contains(t, r.out, "failed   project shop: ")
		require.Contains(t, r.out, "AUTHSYNC_ENCRYPTION_KEY")
	})

	t.Run("OptionsThatAreNotGivenStay", func(t *testing.T) {
		t.Parallel()
		set := func(options ...string) map[string]any {
			t.Helper()
			args := []string{"integrations", "set", "shop", "better-auth", "--json"}
			for _, option := range options {
				args = append(args, "--option", option)
			}
			var i struct{ Options map[string]any }
			decode(t, b.must(t, args...), &i)
			return i.Options
		}
		// Never, as one that begins fails for want of credentials, which the doctor of this server would see.
		set("base_url=https://shop.example.com", "reconcile.max_deleted_percent=7")
		require.Equal(t, map[string]any{
			"base_url": "https://shop.example.com", "absent_fields": "keep",
			"reconcile": map[string]any{"max_deleted_percent": 7.0, "every": "never"},
		}, set("reconcile.every=never", "absent_fields=keep"))
		require.Equal(t, map[string]any{"reconcile": map[string]any{"every": "never"}},
			set("base_url=null", "absent_fields=null", "reconcile.max_deleted_percent=null"))
		require.Equal(t, map[string]any{}, set("reconcile=null"))
	})

	t.Run("MigrateStatusIsCurrent", func(t *testing.T) {
		t.Parallel()
		var state schemaState
		decode(t, b.must(t, "migrate", "status", "--json"), &state)
		require.Equal(t, "current", state.State)
		require.Contains(t, b.must(t, "migrate", "up"), "Nothing to do")
	})
}

func TestDoctorCountsWhatFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT nobody CHECK (false)`)
	require.NoError(t, err)
	r := b.run(t, "send", "shop", "clerk", "user.created", "--wait")
	require.Equal(t, 1, r.status, "a failed event is no success")
	require.Contains(t, r.out, "failed")

	r = b.run(t, "doctor")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.out, "failed   failed events: 1 of project shop could not be applied")
	require.Contains(t, b.must(t, "events", "list", "shop", "--outcome", "failed"), "nobody")
}

func TestResealReplacesTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	env := maps.Clone(b.env)
	newKey := seal.NewKey()
	env["AUTHSYNC_ENCRYPTION_KEY"] = newKey
	require.Equal(t, 1, run(t.Context(), env, "", "self-test", "shop", "clerk").status, "the new key alone opens nothing yet")

	env["AUTHSYNC_ENCRYPTION_KEY"] = newKey + "," + b.env["AUTHSYNC_ENCRYPTION_KEY"]
	r := run(t.Context(), env, "", "keys", "rotate-encryption")
	require.Zero(t, r.status, r.err)
	require.Contains(t, r.out, "Sealed anew: 4.", "a database URL and three integrations")
	require.Contains(t, run(t.Context(), env, "", "keys", "rotate-encryption").out, "Sealed anew: 0.")

	env["AUTHSYNC_ENCRYPTION_KEY"] = newKey
	r = run(t.Context(), env, "", "send", "shop", "clerk", "user.created")
	require.NotContains(t, r.err, "AUTHSYNC_ENCRYPTION_KEY", "the secret could be read")
}
