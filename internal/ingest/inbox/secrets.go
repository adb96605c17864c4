package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// newestMessages is how many of an integration's messages SecretUses looks at.
const newestMessages = 1000

// SecretUse is how often a secret verified the newest messages of an integration.
type SecretUse struct {
	Name       string // see provider.SecretName
	Messages   int64
	LastUsedAt time.Time // received
}

const selectUses = `
SELECT split_part(m.verified_by, ' ', 2) AS name, count(*) AS messages, max(m.received_at) AS last_used_at
FROM (
    SELECT i.verified_by, i.received_at
    FROM authsync.inbox AS i
    WHERE i.project_id = $1 AND i.provider = $2
    ORDER BY i.id DESC
    LIMIT $3
) AS m
WHERE m.verified_by LIKE '% %'
GROUP BY name
ORDER BY last_used_at DESC`

// SecretUses tells which secrets verified the newest thousand messages of an integration, so that an old one can be
// dropped once nobody uses it.
func (in *Inbox) SecretUses(ctx context.Context, projectID uuid.UUID, providerName string) ([]SecretUse, error) {
	var uses []SecretUse
	err := pgdb.InTx(ctx, in.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, pgdb.FromIndexes); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectUses, projectID, providerName, newestMessages)
		if err != nil {
			return err
		}
		uses, err = pgx.CollectRows(rows, pgx.RowToStructByName[SecretUse])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which secrets are used: %w", err)
	}
	for i := range uses {
		uses[i].LastUsedAt = uses[i].LastUsedAt.UTC()
	}
	return uses, nil
}
