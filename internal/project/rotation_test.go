package project_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
)

// process is one of several that share the control database.
type process struct {
	store     *project.Store
	directory *project.Directory
}

// restart replaces a process by one with other encryption keys.
func (b *testBundle) restart(t *testing.T, keys ...string) process {
	t.Helper()
	ring, err := seal.ParseKeys(strings.Join(keys, ","))
	require.NoError(t, err)
	pool, _ := watchedPool(t, b)
	return process{storeWithKeys(t, b, keys...), run(t, project.DirectoryConfig{Pool: pool, Keyring: ring})}
}

// reads reports whether a process can read all that is sealed of a project.
func (p process) reads(ctx context.Context, projectID, destinationID uuid.UUID, secret string) error {
	endpoint, err := p.directory.LookupFresh(ctx, projectID, "auth0")
	if err != nil {
		return fmt.Errorf("integration: %w", err)
	}
	if secret != "" && !accepts(endpoint, secret) {
		return fmt.Errorf("the secret %s is not accepted", secret)
	}
	if _, err := p.directory.Database(ctx, projectID); err != nil {
		return fmt.Errorf("database in memory: %w", err)
	}
	if _, err := p.store.DatabaseURL(ctx, projectID); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if _, _, err := p.store.Credentials(ctx, projectID, "auth0"); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if _, _, err := p.store.OpenDestination(ctx, destinationID); err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	return nil
}

// The steps of docs/audit.md: two processes are restarted one after the other, both write in between, and each can read
// at every moment what the other has written.
func TestEncryptionKeyIsReplacedWhileServersRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	hook, _ := b.webhook(t, shop, "hook")
	b.auth0(t, shop.ID, "zero")
	oldKey, newKey := b.key, seal.NewKey()
	processes := []process{b.restart(t, oldKey), b.restart(t, oldKey)}
	writes := 0
	everybodyWritesAndReads := func(step string) {
		for _, writer := range processes {
			writes++
			secret := fmt.Sprintf("secret %d", writes)
			b.store = writer.store
			b.auth0(t, shop.ID, secret)
			_, err := writer.store.UpdateProject(t.Context(), shop.ID, project.ProjectChange{DatabaseURL: new(someURL)})
			require.NoError(t, err)
			_, _, err = writer.store.RotateSecret(t.Context(), shop.ID, hook.ID.String(), nil)
			require.NoError(t, err)
			for _, reader := range processes {
				require.NoError(t, reader.reads(t.Context(), shop.ID, hook.ID, secret), "%s: what process %d wrote", step, (writes-1)%2)
			}
		}
	}
	everybodyWritesAndReads("at first")
	for _, step := range [][]string{{oldKey, newKey}, {newKey, oldKey}} {
		for i := range processes {
			processes[i] = b.restart(t, step...)
			everybodyWritesAndReads("half of a step")
		}
	}

	// Everything is sealed anew while it is read and written.
	b.store = storeWithKeys(t, b, oldKey, newKey)
	for i := range 20 {
		_, err := b.store.CreateProject(t.Context(), fmt.Sprintf("p%d", i), someURL, false)
		require.NoError(t, err)
	}
	b.auth0(t, shop.ID, "sealed with the old key")
	done := make(chan struct{})
	var reading sync.WaitGroup
	var failed error
	reading.Go(func() {
		for failed == nil {
			select {
			case <-done:
				return
			default:
				failed = processes[0].reads(t.Context(), shop.ID, hook.ID, "")
			}
		}
	})
	n, err := processes[1].store.Reseal(t.Context())
	close(done)
	reading.Wait()
	require.NoError(t, err)
	require.NoError(t, failed)
	require.GreaterOrEqual(t, n, 21)
	for i := range processes {
		processes[i] = b.restart(t, newKey)
		everybodyWritesAndReads("without the old key")
	}
}

// The short way is none where several processes run: what one of them writes, another cannot read.
func TestNewKeyComesSecondAtFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	hook, _ := b.webhook(t, shop, "hook")
	newKey := seal.NewKey()
	left := b.restart(t, b.key)
	b.store = storeWithKeys(t, b, newKey, b.key)
	b.auth0(t, shop.ID, "new")
	require.ErrorIs(t, left.reads(t.Context(), shop.ID, hook.ID, ""), project.ErrUnusable)
}

// What is sealed is sealed anew: a new column needs a line in Reseal, or ends by itself.
func TestResealKnowsEachSealedColumn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows, err := b.pool.Query(t.Context(), `
		SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'authsync' AND column_name LIKE '%sealed%' ORDER BY 1`)
	require.NoError(t, err)
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{
		"destinations.secrets_sealed",
		"erasures.subject_sealed",
		"idempotency_keys.answer_sealed", // for a day; after that it says that the outcome is not known
		"integrations.credentials_sealed",
		"projects.database_url_sealed",
		"projects.erasure_key_sealed",
	}, columns)
}
