package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// post makes a call with an Idempotency-Key.
func (b *testBundle) post(t *testing.T, key, path, body string, idempotencyKeys ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header["Idempotency-Key"] = idempotencyKeys
	return b.send(t, r)
}

func (b *testBundle) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

const countKeys = `SELECT count(*) FROM authsync.api_keys WHERE name = $1`

func TestCallWithAnIdempotencyKeyTakesEffectOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.post(t, b.key, "/keys", `{"name": "once"}`, "k1")
	require.Equal(t, http.StatusCreated, first.status, first.text)
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	for range 3 {
		again := b.post(t, b.key, "/keys", `{"name": "once"}`, "k1")
		require.Equal(t, http.StatusCreated, again.status)
		require.Equal(t, first.text, again.text, "also the key itself, which is shown once otherwise")
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	}
	require.Equal(t, 1, b.count(t, countKeys, "once"))

	secret, ok := first.body["key"].(string)
	require.True(t, ok)
	require.Zero(t, b.count(t, `SELECT count(*) FROM authsync.idempotency_keys AS k WHERE position(convert_to($1, 'UTF8') IN k.answer_sealed) > 0`, secret))

	t.Run("LocationIsRepeatedToo", func(t *testing.T) {
		t.Parallel()
		made := b.post(t, b.key, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`, "k2")
		require.Equal(t, http.StatusCreated, made.status, made.text)
		again := b.post(t, b.key, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`, "k2")
		require.Equal(t, made.header.Get("Location"), again.header.Get("Location"))
		require.NotEmpty(t, again.header.Get("Location"))
	})
	t.Run("AnotherCallWithTheKeyIsRefused", func(t *testing.T) {
		t.Parallel()
		for path, body := range map[string]string{"/keys": `{"name": "twice"}`, "/projects": `{"name": "once"}`} {
			answer := b.post(t, b.key, path, body, "k1")
			require.Equal(t, http.StatusUnprocessableEntity, answer.status)
			require.Equal(t, "idempotency_key_reused", answer.body["code"])
		}
		require.Zero(t, b.count(t, countKeys, "twice"))
	})
	t.Run("KeysOfAnotherAPIKeyAreOthers", func(t *testing.T) {
		t.Parallel()
		other := fmt.Sprint(b.call(t, http.MethodPost, "/keys", `{"name": "other"}`).body["key"])
		made := b.post(t, other, "/keys", `{"name": "once"}`, "k1")
		require.Equal(t, http.StatusCreated, made.status)
		require.NotEqual(t, secret, made.body["key"])
	})
	t.Run("WithoutAKeyEachCallCounts", func(t *testing.T) {
		t.Parallel()
		for range 2 {
			b.call(t, http.MethodPost, "/keys", `{"name": "free"}`)
		}
		require.Equal(t, 2, b.count(t, countKeys, "free"))
	})
	t.Run("OddKeysAreRefused", func(t *testing.T) {
		t.Parallel()
		for _, keys := range [][]string{{""}, {strings.Repeat("x", 256)}, {"tab\there"}, {"käse"}, {"a", "b"}} {
			b.post(t, b.key, "/keys", `{"name": "odd"}`, keys...).invalid(t, "header", "Idempotency-Key", "invalid")
		}
		require.Zero(t, b.count(t, countKeys, "odd"))
	})
}

func TestCallThatFailedWithoutEffectMayBeRepeatedWithItsKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	require.Equal(t, http.StatusUnprocessableEntity, b.post(t, b.key, "/keys", `{"name": " "}`, "k").status)
	require.Equal(t, http.StatusCreated, b.post(t, b.key, "/keys", `{"name": "right"}`, "k").status)

	const grants = "/projects/shop/grants"
	b.mirror.failWith(&tenantdb.DelayError{Err: context.DeadlineExceeded})
	require.Equal(t, http.StatusServiceUnavailable, b.post(t, b.key, grants, `{"role": "app"}`, "g").status)
	b.mirror.failWith(&pgconn.PgError{Code: "42P01", Message: "refused"})
	require.Equal(t, http.StatusInternalServerError, b.post(t, b.key, grants, `{"role": "app"}`, "g").status)
	b.mirror.failWith(nil)
	require.Equal(t, http.StatusOK, b.post(t, b.key, grants, `{"role": "app"}`, "g").status)
}

// Nobody can say whether a call took effect whose process died, or whose commit was not answered.
func TestCallWhoseEffectIsUnknownIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	unknown := func(answer reply) {
		t.Helper()
		require.Equal(t, http.StatusConflict, answer.status, answer.text)
		require.Equal(t, "idempotency_outcome_unknown", answer.body["code"])
		require.Contains(t, answer.body["detail"], "Look with GET")
	}

	const grants = "/projects/shop/grants"
	b.mirror.failWith(errors.New("the connection broke during the commit"))
	require.Equal(t, http.StatusInternalServerError, b.post(t, b.key, grants, `{"role": "app"}`, "g").status)
	b.mirror.failWith(nil)
	unknown(b.post(t, b.key, grants, `{"role": "app"}`, "g"))

	// The process dies: what it had begun has neither an answer nor an end.
	_, err := b.pool.Exec(t.Context(), `
		CREATE FUNCTION public.keep_claims() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER keep_claims BEFORE UPDATE OR DELETE ON authsync.idempotency_keys FOR EACH ROW EXECUTE FUNCTION public.keep_claims()`)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, b.post(t, b.key, "/keys", `{"name": "lost"}`, "k").status)
	busy := b.post(t, b.key, "/keys", `{"name": "lost"}`, "k")
	require.Equal(t, "idempotency_key_in_use", busy.body["code"], "another process may be at work still")
	b.clock.Store(int64(3 * time.Minute))
	unknown(b.post(t, b.key, "/keys", `{"name": "lost"}`, "k"))
	require.Equal(t, 1, b.count(t, countKeys, "lost"))
}

// Otherwise a key that may change nothing could fill the control database with what it has read.
func TestCallThatChangesNothingKeepsNoAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	_, reader, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "reader", Role: project.ReadOnly})
	require.NoError(t, err)
	for range 2 {
		preview := b.post(t, reader, "/projects/shop/destinations/app/preview", `{"user_id": "auth0|1"}`, "k")
		require.Equal(t, http.StatusOK, preview.status, preview.text)
		require.Empty(t, preview.header.Get("Idempotency-Replayed"))
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM authsync.idempotency_keys`))
}

func TestRepetitionOfACallThatIsAtWorkIsToldToWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	begun, goOn := make(chan struct{}), make(chan struct{})
	b.repairs.before = func() { close(begun); <-goOn }
	b.repairs.repair = refresh.Repair{Done: refresh.Restored, Columns: []string{}}
	const path = "/projects/shop/users/u/refresh"
	done := make(chan int, 1)
	go func() {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.Prefix+path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+b.key)
		r.Header.Set("Idempotency-Key", "slow")
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		done <- w.Code
	}()
	waittest.Receive(t, begun)
	busy := b.post(t, b.key, path, "", "slow")
	require.Equal(t, http.StatusConflict, busy.status)
	require.Equal(t, "idempotency_key_in_use", busy.body["code"])
	require.Equal(t, "1", busy.header.Get("Retry-After"))
	close(goOn)
	require.Equal(t, http.StatusOK, waittest.Receive(t, done))
	again := b.post(t, b.key, path, "", "slow")
	require.Equal(t, http.StatusOK, again.status)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Len(t, b.repairs.asked, 1)
}

func TestIdempotencyKeysAreForgottenAfterADayAndBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusCreated, b.post(t, b.key, "/keys", `{"name": "daily"}`, "k").status)
	b.clock.Store(int64(24*time.Hour + time.Minute))
	require.Empty(t, b.post(t, b.key, "/keys", `{"name": "daily"}`, "k").header.Get("Idempotency-Replayed"))
	require.Equal(t, 2, b.count(t, countKeys, "daily"))

	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO authsync.idempotency_keys (api_key_id, key_hash, request_hash, claim, busy_until, created_at)
		SELECT k.api_key_id, decode(md5(n::text), 'hex'), '', gen_random_uuid(), now(), k.created_at
		FROM authsync.idempotency_keys AS k, generate_series(1, 9999) AS n`)
	require.NoError(t, err)
	full := b.post(t, b.key, "/keys", `{"name": "more"}`, "k3")
	require.Equal(t, http.StatusTooManyRequests, full.status, full.text)
	require.NotEmpty(t, full.header.Get("Retry-After"))
	require.Equal(t, "true", b.post(t, b.key, "/keys", `{"name": "daily"}`, "k").header.Get("Idempotency-Replayed"), "those that are there still count")
	require.Equal(t, http.StatusCreated, b.call(t, http.MethodPost, "/keys", `{"name": "more"}`).status)
	b.clock.Store(int64(49 * time.Hour))
	require.Equal(t, http.StatusCreated, b.post(t, b.key, "/keys", `{"name": "more"}`, "k3").status, "room comes back")
}
