package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/api/idempotency"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/tenantdb"
)

// Idempotency keeps the answers of calls that may be sent again; see idempotency.Keys.
type Idempotency interface {
	Claim(ctx context.Context, apiKeyID uuid.UUID, key string, request ...string) (*idempotency.Claim, idempotency.Answer, error)
}

const (
	idempotencyHeader = "Idempotency-Key"
	// replayedHeader tells that an answer is that of an earlier call with the same key.
	replayedHeader    = "Idempotency-Replayed"
	maxIdempotencyKey = 255
)

// once makes a POST that has an Idempotency-Key one time, however often it is sent. A call that changes nothing is made
// each time: keeping its answers would let a key that may only read fill the control database.
func (a *API) once(rt route, r *http.Request) (answer, error) {
	keys := r.Header.Values(idempotencyHeader)
	if rt.method != http.MethodPost || rt.role == project.ReadOnly || len(keys) == 0 {
		return a.recorded(rt, r)
	}
	if err := plainKey(keys); err != nil {
		return answer{}, err
	}
	body, err := stateOf(r).readAll(r)
	if err != nil {
		return answer{}, err
	}
	claim, kept, err := a.config.Idempotency.Claim(r.Context(), caller(r).ID, keys[0], r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body))
	if err != nil {
		return answer{}, refusedRepetition(err)
	}
	if claim == nil {
		done := answer{status: kept.Status, location: kept.Location, replayed: true}
		if kept.Body != nil {
			done.body = kept.Body
		}
		return done, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), idempotency.Limit)
	defer cancel()
	finished := false
	defer func() {
		if !finished { // the handler panicked
			a.note(r, claim.Doubt(ctx))
		}
	}()
	done, err := a.recorded(rt, r.WithContext(ctx))
	finished = true
	a.note(r, a.settle(ctx, claim, done, err))
	return done, err
}

// settle notes what happened to a call.
func (a *API) settle(ctx context.Context, claim *idempotency.Claim, done answer, err error) error {
	switch {
	case err != nil && hadNoEffect(err):
		return claim.Release(ctx)
	case err != nil:
		return claim.Doubt(ctx)
	}
	kept := idempotency.Answer{Status: done.status, Location: done.location}
	if done.body != nil {
		if kept.Body, err = json.Marshal(done.body); err != nil {
			return err
		}
	}
	return claim.Finish(ctx, kept)
}

// note logs that a call's fate could not be put on record. Its caller has the answer; only a
// repetition is answered that it is not known.
func (a *API) note(r *http.Request, err error) {
	if err != nil {
		a.config.Log.WarnContext(r.Context(), "idempotency_not_recorded", slog.Any("error", err),
			slog.String("key_id", caller(r).ID.String()), slog.String("request_id", problem.RequestID(r.Context())))
	}
}

// hadNoEffect reports whether a call that failed is known to have changed nothing: it was refused,
// or its database never saw the statement or refused it.
func hadNoEffect(err error) bool {
	if statusOf(describe(err).Code) < http.StatusInternalServerError {
		return true
	}
	var known *failure
	var delayed *tenantdb.DelayError // of calls that go through a mirror, all of which may be repeated anyway
	var connecting *pgconn.ConnectError
	return errors.As(err, &known) || errors.As(err, &delayed) || pgdb.Code(err) != "" || errors.As(err, &connecting) || pgconn.SafeToRetry(err)
}

func plainKey(keys []string) error {
	detail := ""
	switch key := keys[0]; {
	case len(keys) > 1:
		detail = "Idempotency-Key is given more than once: give it once"
	case key == "" || len(key) > maxIdempotencyKey:
		detail = "Idempotency-Key must have 1 to 255 characters, such as a UUID"
	default:
		for _, c := range []byte(key) {
			if c < ' ' || c > '~' {
				detail = "Idempotency-Key must be printable ASCII, such as a UUID"
			}
		}
	}
	if detail == "" {
		return nil
	}
	return wrong(inHeader, idempotencyHeader, problem.Invalid, "%s", detail)
}

func refusedRepetition(err error) error {
	switch {
	case errors.Is(err, idempotency.ErrBusy):
		return fail(idempotencyInUse, "a call with this Idempotency-Key is at work: send it again in a moment to get its answer")
	case errors.Is(err, idempotency.ErrReused):
		detail := "this Idempotency-Key was used for another call, with another path or body: make a new key for each call"
		return failing(idempotencyReused, detail, problem.Field{In: inHeader, Field: idempotencyHeader, Code: problem.Invalid, Detail: detail})
	case errors.Is(err, idempotency.ErrUnknown):
		return fail(idempotencyUnknown, "the first call with this Idempotency-Key ended without an answer, perhaps because the server stopped: "+
			"whether it took effect is not known. Look with GET, and if it did not, send it with a new key")
	case errors.Is(err, idempotency.ErrFull):
		return fail(tooManyRequests, "this API key has used too many Idempotency-Keys within 24 hours: wait, or leave the header out")
	default:
		return err
	}
}
