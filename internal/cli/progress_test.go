package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
)

func TestBar(t *testing.T) {
	t.Parallel()
	total, rate, left := int64(200_000), 5120.4, 3725.0
	run := client.Run{Provider: "clerk", State: "running", Total: &total, Read: 50_000, PerSecond: &rate, SecondsLeft: &left}
	var out strings.Builder
	s := &session{Process: Process{Out: &out}}
	require.NoError(t, s.bar(200, new(int))(run))
	require.Equal(t, "\r\x1b[Kclerk  running  [######------------------]   25.0%  50,000 of 200,000 users  5,120/s  1:02:05 left", out.String())

	out.Reset()
	ended := time.Now()
	run.FinishedAt, run.SecondsLeft, run.Read = &ended, nil, 250_000 // more than was said at first
	require.NoError(t, s.bar(40, new(int))(run))
	require.Equal(t, "\r\x1b[Kclerk  running  [#####################…\n", out.String(), "never wider than the terminal")
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		require.Equal(t, want, thousands(n))
	}
}
