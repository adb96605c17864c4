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
	// Opened and Closed count what is sealed with a key of the keyring, and with one that it lacks.
	Opened, Closed int
}

// OpensNothing means that something is stored, and that the keyring has no key of any of it.
func (f Fit) OpensNothing() bool { return f.Closed > 0 && f.Opened == 0 }

// What Reseal seals anew: the rest ends with the key of its day.
const selectSealingKeys = `
	SELECT substr(s.sealed, 1, $1) AS prefix, count(*) AS number
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
	WHERE s.sealed IS NOT NULL
	GROUP BY prefix`

// FitOf compares a keyring with the keys that sealed what is stored. It opens nothing.
func FitOf(ctx context.Context, pool *pgxpool.Pool, keyring *seal.Keyring) (f Fit, err error) {
	rows, err := pool.Query(ctx, selectSealingKeys, seal.PrefixSize)
	if err != nil {
		return f, fmt.Errorf("read which keys sealed what is stored: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		Prefix []byte
		Number int
	}])
	if err != nil {
		return f, fmt.Errorf("read which keys sealed what is stored: %w", err)
	}
	known := keyring.IDs()
	for _, group := range groups {
		id, ok := seal.KeyOf(group.Prefix)
		switch {
		case !ok: // damaged: no key would open it
		case slices.Contains(known, id):
			f.Opened += group.Number
		default:
			f.Closed += group.Number
			f.Missing = append(f.Missing, id)
		}
	}
	slices.Sort(f.Missing)
	return f, nil
}
