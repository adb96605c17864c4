// Package idempotency lets a call of the management API be sent again without taking
// effect twice: the answer is kept under the Idempotency-Key that the caller gave.
//
// It stands beside the road of a webhook, between the API and its handlers.
//
//	claimed ──Finish──▶ answered: repetitions get the same answer
//	   │ └────Release─▶ (gone): it had no effect, a repetition is a new attempt
//	   └──Doubt, or the process dies──▶ unknown: nobody can say, and that is what a repetition is told
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/seal"
)

const (
	// Keep is how long an answer is kept.
	Keep = 24 * time.Hour
	// Limit is how long a call may take: less than what its claim is good for, so that a
	// call that goes on is never taken for one that died.
	Limit = 2 * time.Minute

	busyFor = Limit + 30*time.Second
	most    = 10_000
	// maxAnswer bounds what is kept of one answer. All answers to calls that change
	// something are far smaller.
	maxAnswer = 256 << 10
)

// Why a call is not to be made, or not again.
var (
	ErrBusy    = errors.New("the first call with this key has no answer yet")
	ErrReused  = errors.New("the key was used for another call")
	ErrUnknown = errors.New("the first call with this key ended without an answer")
	ErrFull    = errors.New("too many keys are in use")
)

// Answer is an answer as it is kept.
type Answer struct {
	Status   int             `json:"status"`
	Location string          `json:"location,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
}

// Keys keeps answers in the control database.
type Keys struct {
	Pool    *pgxpool.Pool
	Keyring *seal.Keyring // an answer may hold a secret that was just made
	Now     func() time.Time
}

// Claim is the right to make a call once.
type Claim struct {
	keys     *Keys
	apiKeyID uuid.UUID
	keyHash  []byte
	id       uuid.UUID
}

// Claim lets a call be made, or gives the answer to the one that was: the claim is nil then.
// Errors are ErrBusy, ErrReused, ErrUnknown, ErrFull, and those of the database.
func (k *Keys) Claim(ctx context.Context, apiKeyID uuid.UUID, key string, request ...string) (*Claim, Answer, error) {
	hashed := sha256.Sum256([]byte(key))
	c := &Claim{keys: k, apiKeyID: apiKeyID, keyHash: hashed[:], id: uuid.New()}
	var result string
	var sealed []byte
	err := k.Pool.QueryRow(ctx, `SELECT * FROM authsync.claim_idempotency_key($1, $2, $3, $4, $5, $6, $7, $8)`,
		apiKeyID, c.keyHash, digest(request), c.id, busyFor, Keep, most, k.Now()).Scan(&result, &sealed)
	if err != nil {
		return nil, Answer{}, fmt.Errorf("claim the idempotency key: %w", err)
	}
	switch result {
	case "claimed":
		return c, Answer{}, nil
	case "answered":
		answer, err := c.open(sealed)
		return nil, answer, err
	case "busy":
		return nil, Answer{}, ErrBusy
	case "reused":
		return nil, Answer{}, ErrReused
	case "full":
		return nil, Answer{}, ErrFull
	default:
		return nil, Answer{}, ErrUnknown
	}
}

// digest tells requests apart; the lengths keep ("a", "bc") from being ("ab", "c").
func digest(parts []string) []byte {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return h.Sum(nil)
}

// open reads an answer. After the encryption key was replaced it cannot be, and a call
// must not be made again for that.
func (c *Claim) open(sealed []byte) (a Answer, err error) {
	plain, err := c.keys.Keyring.Open(sealed, c.boundTo()...)
	if err != nil {
		return a, ErrUnknown
	}
	if err := json.Unmarshal(plain, &a); err != nil {
		return a, fmt.Errorf("read the kept answer: %w", err)
	}
	return a, nil
}

func (c *Claim) boundTo() []string {
	return []string{"idempotent answer", c.apiKeyID.String(), hex.EncodeToString(c.keyHash)}
}

const (
	mine = ` WHERE api_key_id = $1 AND key_hash = $2 AND claim = $3`

	setAnswer = `UPDATE authsync.idempotency_keys SET answer_sealed = $4` + mine
	setDoubt  = `UPDATE authsync.idempotency_keys SET busy_until = $4` + mine
	release   = `DELETE FROM authsync.idempotency_keys` + mine
)

// Finish keeps the answer to the call, which took effect.
func (c *Claim) Finish(ctx context.Context, a Answer) error {
	plain, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	if len(plain) > maxAnswer {
		return errors.Join(errors.New("the answer is too long to be kept"), c.Doubt(ctx))
	}
	sealed, err := c.keys.Keyring.Seal(plain, c.boundTo()...)
	if err != nil {
		return err
	}
	return c.exec(ctx, "keep the answer", setAnswer, sealed)
}

// Release gives the key back: the call had no effect.
func (c *Claim) Release(ctx context.Context) error {
	return c.exec(ctx, "release the idempotency key", release)
}

// Doubt notes that nobody knows whether the call took effect.
func (c *Claim) Doubt(ctx context.Context) error {
	return c.exec(ctx, "note the doubt", setDoubt, c.keys.Now())
}

func (c *Claim) exec(ctx context.Context, what, statement string, more ...any) error {
	// The caller may be gone; what happened to its call must be on record all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	tag, err := c.keys.Pool.Exec(ctx, statement, append([]any{c.apiKeyID, c.keyHash, c.id}, more...)...)
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.ErrNoRows // it was revoked with its API key, or took longer than a day
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
