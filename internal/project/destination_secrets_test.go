package project_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
)

func TestRotatedSecretIsValidForADayBesideItsSuccessor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	b.store = storeAt(t, b, func() time.Time { return now })
	d, first := b.webhook(t, shop, "hook")

	d, made, err := b.store.RotateSecret(t.Context(), shop.ID, d.ID.String(), nil)
	require.NoError(t, err)
	require.NotEqual(t, first, made.Value)
	until := now.Add(24 * time.Hour)
	require.Equal(t, map[string]project.SecretState{"signing": {Set: true, OldUntil: &until}}, d.Secrets)
	secrets := func() destination.Secrets {
		_, config, err := b.store.OpenDestination(t.Context(), d.ID)
		require.NoError(t, err)
		return config.Secrets
	}
	require.Equal(t, made.Value, secrets().Values["signing"])
	require.Equal(t, destination.OldSecret{Value: first, Until: until}, secrets().Old["signing"])

	now = until.Add(-time.Second)
	require.NotEmpty(t, secrets().Old)
	now = until
	require.Empty(t, secrets().Old)
	d, err = b.store.FindDestination(t.Context(), shop.ID, "hook")
	require.NoError(t, err)
	require.Equal(t, map[string]project.SecretState{"signing": {Set: true}}, d.Secrets)

	_, made, err = b.store.RotateSecret(t.Context(), shop.ID, "hook", new("given-by-hand"))
	require.NoError(t, err)
	require.Equal(t, project.MadeSecret{Name: "signing", Value: "given-by-hand"}, made)
	require.Equal(t, "given-by-hand", secrets().Values["signing"])

	_, err = b.store.UpdateDestination(t.Context(), shop.ID, "hook", project.DestinationInput{Secrets: map[string]*string{"signing": nil}})
	require.ErrorContains(t, err, "secrets.signing is too short", "nobody would see one that was made now")
	_, err = b.store.UpdateDestination(t.Context(), shop.ID, "hook", project.DestinationInput{Secrets: map[string]*string{"signing": new("set-at-once")}})
	require.NoError(t, err)
	require.Empty(t, secrets().Old, "what is set, not rotated, has no overlap")
}

func TestWhatCannotBeRotatedIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, secret := b.webhook(t, shop, "hook")
	_, _, err := b.store.CreateDestination(t.Context(), shop.ID, "http", input("api", anyURL, nil), nothingElse)
	require.NoError(t, err)
	for name, bad := range map[string]struct {
		ref   string
		value *string
		want  string
	}{
		"KindWithoutOne": {"api", nil, "no secret that could be rotated"},
		"TheSame":        {"hook", &secret, "in use already"},
		"TooShort":       {"hook", new("short"), "too short"},
		"Empty":          {"hook", new(""), "is empty"},
	} {
		_, _, err := b.store.RotateSecret(t.Context(), shop.ID, bad.ref, bad.value)
		require.True(t, fault.Is(err, fault.Invalid), "%s: %v", name, err)
		require.ErrorContains(t, err, bad.want, name)
	}
}

func TestResealCoversDestinations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	d, secret := b.webhook(t, shop, "hook")
	other, _ := b.webhook(t, shop, "other")

	newKey := seal.NewKey()
	n, err := storeWithKeys(t, b, newKey, b.key).Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n, "a project and two destinations")
	after := storeWithKeys(t, b, newKey)
	_, config, err := after.OpenDestination(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, secret, config.Secrets.Values["signing"])

	_, _, err = b.store.OpenDestination(t.Context(), d.ID)
	require.ErrorIs(t, err, seal.ErrUnknownKey)
	shown, err := b.store.FindDestination(t.Context(), shop.ID, "hook")
	require.NoError(t, err, "what cannot be opened is shown with its fault")
	require.Nil(t, shown.Secrets)
	require.Contains(t, shown.Fault, "sealed with a key that is not configured")

	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.destinations
		SET secrets_sealed = (SELECT secrets_sealed FROM authsync.destinations WHERE id = $1) WHERE id = $2`, d.ID, other.ID)
	require.NoError(t, err)
	_, _, err = after.OpenDestination(t.Context(), other.ID)
	require.ErrorIs(t, err, seal.ErrNotGenuine, "a sealed text is of one destination")
}
