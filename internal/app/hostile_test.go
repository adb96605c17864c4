package app_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// TestASlowProjectDatabaseHoldsNothingOfOthers has many calls wait for the database of one project.
func TestASlowProjectDatabaseHoldsNothingOfOthers(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true, API: true})
	other, err := a.Store.CreateProject(t.Context(), "other", pgtest.URL(t, pgtest.Project(t)), false)
	require.NoError(t, err)

	// Once the mirror is in use nobody looks whether its functions are ours.
	require.NoError(t, in.addDestination(t.Context(), a, in.projectID))
	_, err = in.mirror.Exec(t.Context(), `
		CREATE OR REPLACE FUNCTION capydb_auth.change_cursor(p_at timestamptz) RETURNS bigint LANGUAGE plpgsql
		AS $fn$ BEGIN PERFORM pg_sleep(600); RETURN 0; END $fn$`)
	require.NoError(t, err)
	const calls = 40
	ctx, giveUp := context.WithCancel(t.Context())
	var group sync.WaitGroup
	answers := make(chan error, calls)
	defer func() { giveUp(); group.Wait() }()
	for range calls {
		group.Go(func() { answers <- in.addDestination(ctx, a, in.projectID) })
	}

	refused := 0
	waittest.Until(t, func() bool {
		select {
		case err := <-answers:
			var problem *client.RefusedError
			if errors.As(err, &problem) && problem.Status == http.StatusTooManyRequests {
				refused++
			}
		default:
		}
		return refused == calls-8
	}, "all but those at work are told to come later")
	waittest.Until(t, func() bool {
		var waiting int
		require.NoError(t, in.mirror.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'active' AND query LIKE '%change_cursor%' AND pid <> pg_backend_pid()`).Scan(&waiting))
		return waiting > 0
	}, "the project's database is slow")

	var open int
	require.NoError(t, in.controlDB.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND state LIKE 'idle in transaction%'`).Scan(&open))
	require.Zero(t, open, "no transaction of the control database waits for a project's")
	require.NoError(t, in.addDestination(t.Context(), a, other.ID.String()))
	status, _ := get(t, a.URL()+"/readyz")
	require.Equal(t, http.StatusOK, status)
}

func (in *installation) addDestination(ctx context.Context, a *app.App, project string) error {
	c := client.New(a.URL(), in.key)
	defer c.Close()
	_, err := c.AddDestination(ctx, project, map[string]any{
		"name": "hook-" + strings.ToLower(rand.Text()), "type": "webhook", "options": map[string]any{"url": "https://hooks.example.com/users"},
	})
	return err
}
