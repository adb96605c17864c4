package project_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// BenchmarkReload shows what a change costs each process: everything is read
// again, one row is opened again.
func BenchmarkReload(b *testing.B) {
	for _, projects := range []int{100, 5000} {
		b.Run(fmt.Sprint(projects, "Projects"), func(b *testing.B) {
			benchmarkReload(b, projects)
		})
	}
}

func benchmarkReload(b *testing.B, projects int) {
	b.Helper()
	pool := pgtest.Control(b)
	key := seal.NewKey()
	ring, err := seal.ParseKeys(key)
	require.NoError(b, err)
	log := slog.New(slog.DiscardHandler)
	store, err := project.NewStore(project.Config{
		Pool: pool, Keyring: ring, Mirror: &installer{}, Targets: egress.New(egress.Config{}), Log: log,
	})
	require.NoError(b, err)
	var last project.Project
	for i := range projects {
		last, err = store.CreateProject(b.Context(), fmt.Sprint("p", i), someURL, false)
		require.NoError(b, err)
		_, err = store.PutIntegration(b.Context(), last.ID, "clerk",
			map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + clerkSecret + `"`)}, nil)
		require.NoError(b, err)
	}
	d, err := project.NewDirectory(project.DirectoryConfig{Pool: pool, Keyring: ring, Log: log, Interval: never, MinGap: time.Nanosecond})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	require.NoError(b, d.WaitLoaded(ctx))

	for b.Loop() {
		_, err := pool.Exec(ctx, `UPDATE authsync.directory_version SET version = version + 1`)
		require.NoError(b, err)
		_, err = d.LookupFresh(ctx, last.ID, "clerk")
		require.NoError(b, err)
	}
	cancel()
	require.NoError(b, <-ended)
}
