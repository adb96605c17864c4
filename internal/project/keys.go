package project

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

// Prefixes of API keys. Both kinds have the same rights: the prefix tells people, and scanners for
// leaked keys, whether a key is for production.
const (
	LivePrefix = "capy_live_"
	TestPrefix = "capy_test_"
)

const (
	keyBytes  = 32 // 256 bits
	keyDigits = 43 // base 62 digits needed for 256 bits
	hintSize  = len(LivePrefix) + 4
)

const (
	keyColumns = `id, name, hint, project_id, role, created_at, expires_at, last_used_at, revoked_at`

	insertKey = `
		INSERT INTO authsync.api_keys (name, hint, key_hash, project_id, role, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		RETURNING ` + keyColumns

	selectGoodKey = `
		SELECT ` + keyColumns + `,
			coalesce(last_used_at < now() - interval '1 minute', true) AS note_use
		FROM authsync.api_keys WHERE revoked_at IS NULL AND `

	selectKeyByHash = selectGoodKey + `key_hash = $1`
	selectKeyByID   = selectGoodKey + `id = $1`

	// The condition is repeated here so that only one of many concurrent requests writes.
	noteKeyUse = `
		UPDATE authsync.api_keys SET last_used_at = now()
		WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`

	selectKeys = `
		SELECT ` + keyColumns + `
		FROM authsync.api_keys
		WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1, $2)
		ORDER BY created_at DESC, id DESC LIMIT $3`

	revokeKey = `
		UPDATE authsync.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1`
)

// Key is a management API key, without the secret.
type Key struct {
	ID         uuid.UUID
	Name       string
	Hint       string     // its first characters
	ProjectID  *uuid.UUID // the only project that it may manage; nil means all
	Role       Role
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil means never
	LastUsedAt *time.Time // to the minute
	RevokedAt  *time.Time
}

// May reports whether the key may do what needs a role.
func (k Key) May(need Role) bool { return k.Role.Includes(need) }

// KeyExpiredError means that a key was valid until a time in the past. It is an ErrNoKey.
type KeyExpiredError struct{ At time.Time }

func (e *KeyExpiredError) Error() string {
	return "this key expired at " + e.At.UTC().Format(time.RFC3339)
}

// Unwrap makes an expired key as unknown as a revoked one to whoever does not ask.
func (e *KeyExpiredError) Unwrap() error { return ErrNoKey }

// KeyInput describes a key to create.
type KeyInput struct {
	Name      string
	Test      bool       // create a capy_test_ key instead of a capy_live_ one
	ProjectID *uuid.UUID // limit the key to this project
	Role      Role       // empty: Admin
	ExpiresAt *time.Time // nil: never
}

// maxKeyYears bounds how far ahead a key may expire. A later time is a slip, such as a year with a digit too many.
const maxKeyYears = 10

func (s *Store) checkKey(in KeyInput) error {
	if n := utf8.RuneCountInString(in.Name); n < 1 || n > 100 || !utf8.ValidString(in.Name) || strings.ContainsRune(in.Name, 0) {
		return invalid("name must have 1 to 100 characters: say who or what uses the key")
	}
	if !slices.Contains(Roles(), in.Role) {
		return invalid("role is %.40q: it must be %s, %s or %s", in.Role, ReadOnly, Operator, Admin)
	}
	if in.ExpiresAt == nil {
		return nil
	}
	now := s.now()
	if !in.ExpiresAt.After(now) {
		return invalid("expires_at is %s, which is not in the future", in.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if in.ExpiresAt.After(now.AddDate(maxKeyYears, 0, 0)) {
		return invalid("expires_at is %s: it must be within %d years, or left out for a key that never expires",
			in.ExpiresAt.UTC().Format(time.RFC3339), maxKeyYears)
	}
	return nil
}

// CreateKey creates a key. The secret is returned only here and never stored. Errors:
// fault.Invalid, ErrNoProject.
func (s *Store) CreateKey(ctx context.Context, in KeyInput) (key Key, secret string, err error) {
	in.Name = strings.TrimSpace(in.Name)
	if in.Role == "" {
		in.Role = Admin
	}
	if err := s.checkKey(in); err != nil {
		return Key{}, "", err
	}
	secret = newSecret(in.Test)
	rows, err := s.pool.Query(ctx, insertKey, in.Name, secret[:hintSize], hashKey(secret), in.ProjectID, in.Role, in.ExpiresAt)
	if err == nil {
		key, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Key])
	}
	if pgdb.Code(err) == pgerrcode.ForeignKeyViolation {
		return Key{}, "", ErrNoProject
	}
	if err != nil {
		return Key{}, "", fmt.Errorf("create key: %w", err)
	}
	return key, secret, nil
}

// Authenticate finds the key of a request. The error is ErrNoKey if it is unknown or revoked, and *KeyExpiredError, which
// only whoever has the secret gets to see, if it has expired. It runs one query by the key's hash; the hash is of 256
// random bits, so the query's duration reveals nothing about other keys.
func (s *Store) Authenticate(ctx context.Context, secret string) (Key, error) {
	if !strings.HasPrefix(secret, LivePrefix) && !strings.HasPrefix(secret, TestPrefix) {
		return Key{}, ErrNoKey
	}
	return s.useKey(ctx, selectKeyByHash, hashKey(secret))
}

// FindKey finds a previously authenticated key, to check that it is still valid. The error is
// ErrNoKey if it has been revoked or has expired.
func (s *Store) FindKey(ctx context.Context, id uuid.UUID) (Key, error) {
	return s.useKey(ctx, selectKeyByID, id)
}

// useKey finds a key that is neither revoked nor expired and records its use.
func (s *Store) useKey(ctx context.Context, selectKey string, by any) (Key, error) {
	rows, err := s.pool.Query(ctx, selectKey, by)
	if err != nil {
		return Key{}, fmt.Errorf("find key: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[struct {
		Key
		NoteUse bool
	}])
	if errors.Is(err, pgx.ErrNoRows) {
		return Key{}, ErrNoKey
	}
	if err != nil {
		return Key{}, fmt.Errorf("find key: %w", err)
	}
	if found.ExpiresAt != nil && !s.now().Before(*found.ExpiresAt) {
		return Key{}, &KeyExpiredError{At: *found.ExpiresAt}
	}
	if found.NoteUse {
		if _, err := s.pool.Exec(ctx, noteKeyUse, found.ID); err != nil && ctx.Err() == nil { // not a reason to reject the request
			s.log.WarnContext(ctx, "key_use_not_noted", slog.String("key_id", found.ID.String()), slog.Any("error", err))
		}
	}
	return found.Key, nil
}

// ListKeys lists at most limit keys after the cursor, newest first, including revoked ones; next is
// empty at the end.
func (s *Store) ListKeys(ctx context.Context, cursor string, limit int) (keys []Key, next string, err error) {
	var before *time.Time
	var id uuid.UUID
	if cursor != "" {
		if before, id, err = decodeKeyCursor(cursor); err != nil {
			return nil, "", err
		}
	}
	rows, err := s.pool.Query(ctx, selectKeys, before, id, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list keys: %w", err)
	}
	if keys, err = pgx.CollectRows(rows, pgx.RowToStructByName[Key]); err != nil {
		return nil, "", fmt.Errorf("list keys: %w", err)
	}
	if len(keys) > limit {
		keys = keys[:limit]
		last := keys[limit-1]
		next = encodeCursor("keys", strconv.FormatInt(last.CreatedAt.UnixMicro(), 10)+":"+last.ID.String())
	}
	return keys, next, nil
}

// RevokeKey revokes a key. Revoking it twice is not an error; ErrNoKey means that there is no key
// with this id.
func (s *Store) RevokeKey(ctx context.Context, id uuid.UUID) error {
	tag, err := s.pool.Exec(ctx, revokeKey, id)
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoKey
	}
	return nil
}

func newSecret(test bool) string {
	random := make([]byte, keyBytes)
	_, _ = rand.Read(random) // never fails: crypto/rand aborts the program instead
	digits := new(big.Int).SetBytes(random).Text(62)
	prefix := LivePrefix
	if test {
		prefix = TestPrefix
	}
	return prefix + strings.Repeat("0", keyDigits-len(digits)) + digits
}

func hashKey(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func decodeKeyCursor(cursor string) (*time.Time, uuid.UUID, error) {
	place, err := decodeCursor("keys", cursor)
	if err != nil {
		return nil, uuid.Nil, err
	}
	micros, text, _ := strings.Cut(place, ":")
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return nil, uuid.Nil, fault.ErrBadCursor
	}
	id, ok := parseID(text)
	if !ok {
		return nil, uuid.Nil, fault.ErrBadCursor
	}
	createdAt := time.UnixMicro(n)
	return &createdAt, id, nil
}
