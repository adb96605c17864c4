package seal_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/seal"
)

func keyring(t *testing.T, keys ...string) *seal.Keyring {
	t.Helper()
	ring, err := seal.ParseKeys(strings.Join(keys, ","))
	require.NoError(t, err)
	return ring
}

func TestSealedTextOpensWithTheSameWordsOnly(t *testing.T) {
	t.Parallel()
	ring := keyring(t, seal.NewKey())

	sealed, err := ring.Seal([]byte("whsec_1"), "project-1", "clerk")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "whsec_1")

	plain, err := ring.Open(sealed, "project-1", "clerk")
	require.NoError(t, err)
	require.Equal(t, "whsec_1", string(plain))

	for name, words := range map[string][]string{
		"AnotherProject":  {"project-2", "clerk"},
		"AnotherProvider": {"project-1", "auth0"},
		"OtherBoundaries": {"project-1clerk"},
		"NoWords":         nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ring.Open(sealed, words...)
			require.ErrorIs(t, err, seal.ErrNotGenuine)
		})
	}
}

func TestSameTextIsSealedDifferentlyEachTime(t *testing.T) {
	t.Parallel()
	ring := keyring(t, seal.NewKey())
	one, err := ring.Seal([]byte("same"), "x")
	require.NoError(t, err)
	two, err := ring.Seal([]byte("same"), "x")
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestOldKeyOpensAndNewKeySeals(t *testing.T) {
	t.Parallel()
	oldKey, newKey := seal.NewKey(), seal.NewKey()
	before, both, after := keyring(t, oldKey), keyring(t, newKey, oldKey), keyring(t, newKey)

	sealed, err := before.Seal([]byte("secret"), "x")
	require.NoError(t, err)
	require.True(t, before.IsNewest(sealed))
	require.False(t, both.IsNewest(sealed))

	plain, err := both.Open(sealed, "x")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))

	again, err := both.Seal(plain, "x")
	require.NoError(t, err)
	require.True(t, both.IsNewest(again))
	plain, err = after.Open(again, "x")
	require.NoError(t, err)
	require.Equal(t, "secret", string(plain))

	_, err = after.Open(sealed, "x")
	require.ErrorIs(t, err, seal.ErrUnknownKey)
}

func TestAlteredTextIsRefused(t *testing.T) {
	t.Parallel()
	ring := keyring(t, seal.NewKey())
	sealed, err := ring.Seal([]byte("secret"), "x")
	require.NoError(t, err)

	for _, n := range []int{0, 4, 5, len(sealed) - 1} {
		_, err := ring.Open(sealed[:n], "x")
		require.Error(t, err, "cut to %d bytes", n)
	}
	for i := range sealed {
		bad := append([]byte{}, sealed...)
		bad[i] ^= 1
		_, err := ring.Open(bad, "x")
		require.Error(t, err, "byte %d flipped", i)
	}
	_, err = ring.Open(sealed, "x")
	require.NoError(t, err)
}

func TestBadKeysAreNamedAndNotRepeated(t *testing.T) {
	t.Parallel()
	good := seal.NewKey()
	short := base64.StdEncoding.EncodeToString([]byte("only sixteen byt"))
	for name, tc := range map[string]struct{ text, want string }{
		"Missing":  {" ", "AUTHSYNC_ENCRYPTION_KEY is not set"},
		"NoBase64": {good + ",correct horse battery staple", "key 2 is not base64"},
		"Short":    {short, "key 1 has 16 bytes where 32 are needed"},
		"Empty":    {good + ",", "key 2 has 0 bytes"},
		"Twice":    {good + "," + good, "key 2 is there twice"},
		"Constant": {base64.StdEncoding.EncodeToString(make([]byte, 32)), "key 1 is one byte repeated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seal.ParseKeys(tc.text)
			require.ErrorContains(t, err, tc.want)
			for _, part := range []string{good, short, "horse", "staple"} {
				require.NotContains(t, err.Error(), part)
			}
			if name != "Twice" {
				require.ErrorContains(t, err, "openssl rand -base64 32")
			}
		})
	}
}

func TestKeysMayBeSpacedAndUnpadded(t *testing.T) {
	t.Parallel()
	a, b := seal.NewKey(), seal.NewKey()
	sealed, err := keyring(t, b).Seal([]byte("x"))
	require.NoError(t, err)
	plain, err := keyring(t, " "+strings.TrimRight(a, "=")+" ", "\n"+b+"\n").Open(sealed)
	require.NoError(t, err)
	require.Equal(t, "x", string(plain))
}
