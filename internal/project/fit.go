package project

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/seal"
)

// Fit is how a keyring fits what is stored.
type Fit struct {
	// Missing are the ids of the keys that something is sealed with and the keyring lacks.
	Missing []string
	// Opens means that the keyring has a key of something that is stored, or that nothing is.
	Opens bool
}

// What Reseal seals anew: the rest ends with the key of its day.
const selectSealingKeys = `
	SELECT DISTINCT substr(s.sealed, 1, $1)
	FROM (
		SELECT database_url_sealed AS sealed FROM authsync.projects
		UNION ALL
		SELECT erasure_key_sealed FROM authsync.projects
		UNION ALL
		SELECT credentials_sealed FROM authsync.integrations
		UNION ALL
		SELECT secrets_sealed FROM authsync.destinations
		UNION ALL
		SELECT subject_sealed FROM authsync.erasures WHERE state = 'running'
	) AS s
	WHERE s.sealed IS NOT NULL`

// FitOf compares a keyring with the keys that sealed what is stored. It opens nothing.
func FitOf(ctx context.Context, pool *pgxpool.Pool, keyring *seal.Keyring) (f Fit, err error) {
	rows, err := pool.Query(ctx, selectSealingKeys, seal.PrefixSize)
	if err != nil {
		return f, fmt.Errorf("read which keys sealed what is stored: %w", err)
	}
	prefixes, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return f, fmt.Errorf("read which keys sealed what is stored: %w", err)
	}
	known := keyring.IDs()
	for _, prefix := range prefixes {
		id, ok := seal.KeyOf(prefix)
		switch {
		case !ok: // damaged: no key would open it
		case slices.Contains(known, id):
			f.Opens = true
		default:
			f.Missing = append(f.Missing, id)
		}
	}
	f.Opens = f.Opens || len(f.Missing) == 0
	slices.Sort(f.Missing)
	return f, nil
}
