package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

// A person at the terminal reads a plain line for each thing that is wrong, not the log.
func TestWarningsAtTheTerminalArePlainAndRare(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := time.Now()
	screen := newTerminal(&out)
	screen.now = func() time.Time { return now }
	demo := project.Project{ID: uuid.New(), Name: "demo"}
	screen.demo.Store(&demo)
	log := slog.New(screen)
	said := func() []string {
		t.Helper()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		out.Reset()
		for i, line := range lines {
			if line != "" {
				require.Regexp(t, `^\d\d:\d\d:\d\d `, line)
				lines[i] = line[len("15:04:05 "):]
			}
		}
		return lines
	}

	damaged := func(next int) {
		log.With(slog.String("project_id", demo.ID.String())).Warn("mirror_unusable", slog.Int("next_try", next),
			slog.String("sqlstate", ""), slog.Any("error", errors.New("table capydb_auth.users\nis missing")))
	}
	for i := range 100 {
		damaged(i)
	}
	require.Equal(t, []string{"warning      mirror unusable: project demo: table capydb_auth.users is missing"}, said())
	now = now.Add(repeatedAfter)
	damaged(100)
	lines := said()
	require.Len(t, lines, 1)
	require.Regexp(t, `is missing \(99 more times since \d\d:\d\d:\d\d\)$`, lines[0])

	log.Warn("event_failed", slog.String("project_id", demo.ID.String()))
	log.Info("event_applied")
	require.Equal(t, []string{""}, said(), "the line of the message says it")

	for _, id := range []string{"a", "b"} { // each is told
		log.WithGroup("g").Error("destination_paused", slog.String("destination_id", id), slog.Int("status", 410))
	}
	require.Equal(t, []string{
		"error        destination paused: destination_id a, status 410",
		"error        destination paused: destination_id b, status 410",
	}, said())

	screen.close()
	log.Error("connection_lost")
	require.Equal(t, []string{""}, said())
}
