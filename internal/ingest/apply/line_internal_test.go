package apply

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/redact"
)

// BenchmarkLine is what the line of an outcome costs, to nowhere and to a file.
func BenchmarkLine(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, file.Close()) })
	for name, to := range map[string]io.Writer{"Discard": io.Discard, "File": file} {
		b.Run(name, func(b *testing.B) {
			c := &Config{Log: slog.New(redact.Handler(slog.NewJSONHandler(to, nil)))}
			now := time.Now()
			o := &inbox.Outcome{
				InboxID: 1234567, ReceivedAt: now.Add(-time.Second), ProjectID: uuid.New(), EventID: "evt_3tQxWJzj0PmGc0nZ1vXyB4", Type: "user.updated",
				UserID: "auth0|65f1c1e2a7b3d90001a2b3c4", Outcome: inbox.Applied, Provider: "auth0",
				TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			}
			b.ReportAllocs()
			for b.Loop() {
				c.log(b.Context(), o, now)
			}
		})
	}
}
