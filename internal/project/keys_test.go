package project_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	create := func(t *testing.T, in project.KeyInput) (project.Key, string) {
		t.Helper()
		key, secret, err := b.store.CreateKey(t.Context(), in)
		require.NoError(t, err)
		return key, secret
	}

	t.Run("AreShownOnceAndStoredAsAHash", func(t *testing.T) {
		t.Parallel()
		key, secret := create(t, project.KeyInput{Name: " deploy "})
		require.Regexp(t, `^capy_live_[0-9A-Za-z]{43}$`, secret)
		require.Equal(t, "deploy", key.Name)
		require.Equal(t, secret[:14], key.Hint)
		require.Nil(t, key.ProjectID)
		require.Nil(t, key.LastUsedAt)

		var row string
		require.NoError(t, b.pool.QueryRow(t.Context(),
			`SELECT k::text || encode(k.key_hash, 'escape') FROM authsync.api_keys k WHERE id = $1`, key.ID).Scan(&row))
		require.NotContains(t, row, secret[14:])

		_, another := create(t, project.KeyInput{Name: "deploy", Test: true})
		require.Regexp(t, `^capy_test_[0-9A-Za-z]{43}$`, another)
		require.NotEqual(t, secret[10:], another[10:])
	})

	t.Run("AuthenticateWithTheWholeSecretOnly", func(t *testing.T) {
		t.Parallel()
		key, secret := create(t, project.KeyInput{Name: "x", ProjectID: &shop.ID})
		found, err := b.store.Authenticate(t.Context(), secret)
		require.NoError(t, err)
		require.Equal(t, key, found)
		require.Equal(t, shop.ID, *found.ProjectID)

		for _, wrong := range []string{
			"", secret[:len(secret)-1], secret + "0", strings.ToLower(secret), strings.Replace(secret, "live", "test", 1), key.Hint,
		} {
			_, err := b.store.Authenticate(t.Context(), wrong)
			require.ErrorIs(t, err, project.ErrNoKey, "%s", wrong)
		}
	})

	t.Run("StopWhenRevoked", func(t *testing.T) {
		t.Parallel()
		key, secret := create(t, project.KeyInput{Name: "x"})
		require.NoError(t, b.store.RevokeKey(t.Context(), key.ID))
		_, err := b.store.Authenticate(t.Context(), secret)
		require.ErrorIs(t, err, project.ErrNoKey)
		require.NoError(t, b.store.RevokeKey(t.Context(), key.ID), "twice is no error")
		require.ErrorIs(t, b.store.RevokeKey(t.Context(), uuid.New()), project.ErrNoKey)
	})

	t.Run("AreFoundAgainByTheirIDAsLongAsTheyAreGood", func(t *testing.T) {
		t.Parallel()
		key, _ := create(t, project.KeyInput{Name: "x", ProjectID: &shop.ID})
		found, err := b.store.FindKey(t.Context(), key.ID)
		require.NoError(t, err)
		require.Equal(t, key, found)
		keys, _, err := b.store.ListKeys(t.Context(), "", 200)
		require.NoError(t, err)
		at := slices.IndexFunc(keys, func(k project.Key) bool { return k.ID == key.ID })
		require.NotNil(t, keys[at].LastUsedAt, "that is a use")

		require.NoError(t, b.store.RevokeKey(t.Context(), key.ID))
		for _, id := range []uuid.UUID{key.ID, uuid.New()} {
			_, err = b.store.FindKey(t.Context(), id)
			require.ErrorIs(t, err, project.ErrNoKey)
		}
	})

	t.Run("NoteTheirUseOnceAMinute", func(t *testing.T) {
		t.Parallel()
		key, secret := create(t, project.KeyInput{Name: "x"})
		used := func(ago string) time.Time {
			t.Helper()
			if ago != "" {
				_, err := b.pool.Exec(t.Context(),
					`UPDATE authsync.api_keys SET last_used_at = now() - $2::interval WHERE id = $1`, key.ID, ago)
				require.NoError(t, err)
			}
			_, err := b.store.Authenticate(t.Context(), secret)
			require.NoError(t, err)
			var at *time.Time
			require.NoError(t, b.pool.QueryRow(t.Context(),
				`SELECT last_used_at FROM authsync.api_keys WHERE id = $1`, key.ID).Scan(&at))
			require.NotNil(t, at)
			return *at
		}
		first := used("")
		require.Equal(t, first, used(""), "a second use within the minute writes nothing")
		recent := used("50 seconds")
		require.Less(t, recent, first.Add(-30*time.Second))
		require.Greater(t, used("70 seconds"), recent)
	})

	t.Run("NeedANameAndAProjectThatIsThere", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"", "  ", strings.Repeat("ä", 101), "a\x00b", "\xff"} {
			_, _, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: name})
			require.True(t, fault.Is(err, fault.Invalid), "%q: %v", name, err)
		}
		gone := uuid.New()
		_, _, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x", ProjectID: &gone})
		require.ErrorIs(t, err, project.ErrNoProject)
	})
}

func TestKeysHaveARole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for given, want := range map[project.Role]project.Role{
		"": project.Admin, project.Admin: project.Admin, project.Operator: project.Operator, project.ReadOnly: project.ReadOnly,
	} {
		key, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x", Role: given})
		require.NoError(t, err)
		require.Equal(t, want, key.Role)
		found, err := b.store.Authenticate(t.Context(), secret)
		require.NoError(t, err)
		require.Equal(t, want, found.Role)
	}
	_, _, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x", Role: "root"})
	require.True(t, fault.Is(err, fault.Invalid), err)
	require.ErrorContains(t, err, `role is "root": it must be read_only, operator or admin`)
}

func TestRolesIncludeTheWeakerOnes(t *testing.T) {
	t.Parallel()
	may := func(role project.Role) (list []project.Role) {
		for _, need := range append(project.Roles(), "", "root") {
			if (project.Key{Role: role}).May(need) {
				list = append(list, need)
			}
		}
		return list
	}
	require.Equal(t, []project.Role{project.ReadOnly}, may(project.ReadOnly))
	require.Equal(t, []project.Role{project.ReadOnly, project.Operator}, may(project.Operator))
	require.Equal(t, []project.Role{project.ReadOnly, project.Operator, project.Admin}, may(project.Admin))
	require.Empty(t, may(""), "no key")
	require.Empty(t, may("root"))
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	store := storeAt(t, b, func() time.Time { return now })
	create := func(at time.Time) (project.Key, string, error) {
		return store.CreateKey(t.Context(), project.KeyInput{Name: "x", ExpiresAt: &at})
	}
	end := now.Add(time.Hour)
	key, secret, err := create(end)
	require.NoError(t, err)
	require.Equal(t, end, key.ExpiresAt.UTC())
	eternal, _, err := store.CreateKey(t.Context(), project.KeyInput{Name: "x"})
	require.NoError(t, err)
	require.Nil(t, eternal.ExpiresAt)

	now = end.Add(-time.Microsecond)
	for _, find := range []func() (project.Key, error){
		func() (project.Key, error) { return store.Authenticate(t.Context(), secret) },
		func() (project.Key, error) { return store.FindKey(t.Context(), key.ID) },
	} {
		_, err = find()
		require.NoError(t, err, "up to its end")
	}
	lastUse := func() (at *time.Time) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT last_used_at FROM authsync.api_keys WHERE id = $1`, key.ID).Scan(&at))
		return at
	}
	require.NotNil(t, lastUse())
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.api_keys SET last_used_at = NULL WHERE id = $1`, key.ID)
	require.NoError(t, err)

	now = end
	var expired *project.KeyExpiredError
	_, err = store.Authenticate(t.Context(), secret)
	require.ErrorIs(t, err, project.ErrNoKey)
	require.ErrorAs(t, err, &expired)
	require.Equal(t, end, expired.At.UTC())
	_, err = store.FindKey(t.Context(), key.ID)
	require.ErrorIs(t, err, project.ErrNoKey, "its sessions end, too")
	require.Nil(t, lastUse(), "an attempt is no use")
	_, err = store.FindKey(t.Context(), eternal.ID)
	require.NoError(t, err)
	keys, _, err := store.ListKeys(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, keys, 2, "it is still listed")

	require.NoError(t, store.RevokeKey(t.Context(), key.ID))
	_, err = store.Authenticate(t.Context(), secret)
	require.ErrorIs(t, err, project.ErrNoKey)
	require.NotErrorAs(t, err, &expired, "revoked says more than expired")
}

func TestKeysExpireWithinTenYears(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	store := storeAt(t, b, func() time.Time { return now })
	latest := time.Date(2036, 5, 4, 10, 20, 30, 0, time.UTC)
	for at, want := range map[time.Time]string{
		now:                     "not in the future",
		now.Add(-time.Second):   "not in the future",
		{}:                      "not in the future",
		now.Add(time.Second):    "",
		latest:                  "",
		latest.Add(time.Second): "within 10 years",
		now.AddDate(1000, 0, 0): "within 10 years",
	} {
		_, _, err := store.CreateKey(t.Context(), project.KeyInput{Name: "x", ExpiresAt: &at})
		if want == "" {
			require.NoError(t, err, at)
			continue
		}
		require.True(t, fault.Is(err, fault.Invalid), err)
		require.ErrorContains(t, err, want)
	}
}

func TestKeysAreListedNewestFirstInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"first", "second", "third"} {
		_, _, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: name})
		require.NoError(t, err)
	}
	// Equal times: the id decides, and no page loses a key or shows it twice.
	_, err := b.pool.Exec(t.Context(), `UPDATE authsync.api_keys SET created_at = '2026-01-01' WHERE name <> 'third'`)
	require.NoError(t, err)

	var names []string
	cursor := ""
	for range 3 {
		keys, next, err := b.store.ListKeys(t.Context(), cursor, 1)
		require.NoError(t, err)
		require.Len(t, keys, 1)
		names = append(names, keys[0].Name)
		cursor = next
	}
	require.Empty(t, cursor)
	require.Equal(t, "third", names[0])
	require.ElementsMatch(t, []string{"first", "second", "third"}, names)

	for _, bad := range []string{"%", "a2V5czox", "cHJvamVjdHM6YQ"} {
		_, _, err := b.store.ListKeys(t.Context(), bad, 1)
		require.ErrorIs(t, err, fault.ErrBadCursor, bad)
	}
}
