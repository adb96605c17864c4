package destination_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
)

func TestHoldbackIsReadAndWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", " ": "", "24h": "24h", "1m": "1m", "90m": "1h30m", "720h": "720h", "1h0m30s": "1h0m30s", "90s": "1m30s", "10m": "10m",
	} {
		d, err := destination.ParseHoldback(text)
		require.NoError(t, err, text)
		require.Equal(t, want, destination.FormatHoldback(d), text)
	}
	for _, text := range []string{"24", "a day", "-24h", "0s", "59s", "721h", "90.5s", "1000000h"} {
		_, err := destination.ParseHoldback(text)
		require.True(t, fault.Is(err, fault.Invalid), text)
		require.ErrorContains(t, err, "from 1m to 720h")
	}
}
