package measure

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// upsertHandler is the shortest way from a request to a row: verify, decode, upsert the newer profile, answer. It keeps
// no message, no ledger, no version of a column and no change, and it loses what the project's database cannot take.
type upsertHandler struct {
	*environment

	pool *pgxpool.Pool
}

const upsertTable = `
CREATE TABLE IF NOT EXISTS bench_users (
    id              text NOT NULL PRIMARY KEY,
    email           text,
    first_name      text,
    last_name       text,
    username        text,
    image_url       text,
    created_at      timestamptz,
    updated_at      timestamptz,
    last_sign_in_at timestamptz,
    deleted_at      timestamptz,
    raw             jsonb
);
CREATE INDEX IF NOT EXISTS bench_users_email_idx ON bench_users (lower(email))`

const upsertUser = `
INSERT INTO bench_users AS u (id, email, first_name, last_name, username, image_url, created_at, updated_at, last_sign_in_at, raw)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET
    email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name, username = excluded.username,
    image_url = excluded.image_url, created_at = excluded.created_at, updated_at = excluded.updated_at,
    last_sign_in_at = excluded.last_sign_in_at, raw = excluded.raw
WHERE excluded.updated_at >= u.updated_at`

func (e *environment) newUpsertHandler(ctx context.Context) (*upsertHandler, error) {
	pool, err := pgdb.Open(ctx, e.server.URL(projectDatabase), pgdb.Options{MaxConns: referenceConns, MinConns: referenceConns})
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, upsertTable); err != nil {
		pool.Close()
		return nil, fmt.Errorf("make the table of the reference: %w", err)
	}
	return &upsertHandler{environment: e, pool: pool}, nil
}

// ServeHTTP writes the row of a user.
func (h *upsertHandler) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	now := time.Now()
	if _, err := h.endpoint.Verifier.Verify(q.Header, body, now); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for _, e := range h.endpoint.Provider.Decode(provider.Message{ReceivedAt: now, Body: body}, h.endpoint.Options) {
		f := e.Fields
		_, err := h.pool.Exec(q.Context(), upsertUser, e.UserID, f[record.Email], f[record.FirstName], f[record.LastName], f[record.Username],
			f[record.ImageURL], f[record.CreatedAt], f[record.UpdatedAt], f[record.LastSignInAt], e.Raw)
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}
