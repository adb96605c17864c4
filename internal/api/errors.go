package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/authsync/authsync/internal/account"
	"github.com/authsync/authsync/internal/backfill"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/outbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/fetch"
	"github.com/authsync/authsync/internal/refresh"
	"github.com/authsync/authsync/internal/seal"
)

// statusError is an error whose answer is known where it is made.
type statusError struct {
	status int
	detail string
}

func (e *statusError) Error() string { return e.detail }

func failure(status int, format string, args ...any) error {
	return &statusError{status: status, detail: fmt.Sprintf(format, args...)}
}

// What is wrong with the key that a request shows.
var (
	errNoCredentials = &statusError{http.StatusUnauthorized, "the request shows no key: send the header Authorization: Bearer capy_live_…"}
	errOtherScheme   = &statusError{http.StatusUnauthorized, "the header Authorization must begin with Bearer, followed by a key (capy_live_… or capy_test_…)"}
	errUnknownKey    = &statusError{http.StatusUnauthorized, "this key is unknown or was revoked: use another one, or make one with authsync keys create"}
	errLimitedKey    = &statusError{http.StatusForbidden, "this key is limited to one project and may not make this call: use a key that is not"}
)

// retryAfter is what a caller is told to wait when the trouble is ours.
const retryAfter = 5 * time.Second

// providerRetryAfter is the same when it is the provider's: it was asked several
// times already.
const providerRetryAfter = 30 * time.Second

// writeError answers with the problem that err is, and returns its status. This
// is the one table from errors to statuses.
func writeError(w http.ResponseWriter, r *http.Request, err error) int {
	status, detail := describe(err)
	var opts []problem.Option
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="authsync"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		opts = append(opts, problem.RetryAfter(pauseAfter(err)))
	}
	problem.Write(w, r, status, "", detail, opts...)
	return status
}

// pauseAfter is how long a caller should wait after an error that may pass.
func pauseAfter(err error) time.Duration {
	var limited *fetch.RateLimitError
	var temporary *fetch.TemporaryError
	switch {
	case errors.As(err, &limited):
		return limited.After + time.Second - 1 // whole seconds, rounded up
	case errors.As(err, &temporary):
		return providerRetryAfter
	default:
		return retryAfter
	}
}

func describe(err error) (status int, detail string) {
	var known *statusError
	var invalid *project.InvalidError
	var database *project.DatabaseError
	var delayed *mirror.DelayError
	var tooLarge *http.MaxBytesError
	var running *backfill.RunningError
	var notPossible *account.NotPossibleError
	var refused *mirror.GrantError
	var credentials *fetch.CredentialsError
	var limited *fetch.RateLimitError
	var temporary *fetch.TemporaryError
	var protocol *fetch.ProtocolError
	var noStream *fetch.NoStreamError
	var notNow *fetch.NotNowError
	var choose *refresh.ChooseError
	var unknown *refresh.UnknownError
	var refusedRow *refresh.RefusedError
	var misshapen *destination.InvalidError
	var state *outbox.StateError
	switch {
	case errors.As(err, &known):
		return known.status, known.detail
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
	case errors.As(err, &running):
		return http.StatusConflict, fmt.Sprintf("%[1]s %[2]s of this provider is %[3]s: GET …/%[1]s shows how far it is, DELETE …/%[1]s cancels it",
			running.Run.Kind, running.Run.ID, running.Run.State)
	case errors.As(err, &invalid), errors.As(err, &database), errors.As(err, &notPossible), errors.As(err, &refused),
		errors.As(err, &choose), errors.As(err, &refusedRow),
		errors.As(err, &misshapen):
		return http.StatusUnprocessableEntity, err.Error()
	case errors.Is(err, project.ErrNameTaken):
		return http.StatusConflict, "there is a project of this name already: choose another name, or use that project"
	case errors.Is(err, project.ErrDestinationTaken):
		return http.StatusConflict, "the project has a destination of this name already: choose another name, or change that one with PATCH"
	case errors.Is(err, project.ErrNoDestination):
		return http.StatusNotFound, "the project has no such destination: GET …/destinations lists those there are"
	case errors.Is(err, outbox.ErrNoDelivery):
		return http.StatusNotFound, "the project has no such delivery: GET …/deliveries lists those there are"
	case errors.Is(err, outbox.ErrNoChange):
		return http.StatusNotFound, "the project's mirror has no such user, or no change of it: GET …/users/{user} shows a user's changes"
	case errors.As(err, &state):
		return http.StatusConflict, state.Detail
	case errors.Is(err, project.ErrDatabaseExists), errors.As(err, &notNow):
		return http.StatusConflict, err.Error()
	case errors.Is(err, project.ErrBadCursor), errors.Is(err, inbox.ErrBadCursor), errors.Is(err, outbox.ErrBadCursor):
		return http.StatusBadRequest, "cursor is not one that this list returned: take next_cursor of the page before, or leave it out"
	case errors.Is(err, project.ErrNoProject), errors.Is(err, project.ErrNoIntegration),
		errors.Is(err, project.ErrNoKey), errors.Is(err, inbox.ErrNoEvent), errors.Is(err, inbox.ErrNoDelivery), errors.Is(err, backfill.ErrNoRun),
		errors.As(err, &noStream), errors.As(err, &unknown):
		return http.StatusNotFound, err.Error()
	case errors.As(err, &delayed):
		return http.StatusServiceUnavailable, "the project's database cannot be used now: " + delayed.Error()
	case errors.As(err, &credentials), errors.Is(err, fetch.ErrNoCredentials):
		return http.StatusUnprocessableEntity, err.Error()
	case errors.As(err, &limited):
		return http.StatusServiceUnavailable, err.Error() + ": send this again after that, see Retry-After"
	case errors.As(err, &temporary):
		return http.StatusServiceUnavailable, err.Error() + ": it may pass; send this again in a minute"
	case errors.As(err, &protocol):
		return http.StatusBadGateway, err.Error() + " (trying again will not help: look at the integration's credentials and options.base_url first)"
	case pgdb.Unavailable(err):
		return http.StatusServiceUnavailable, "authsync's own database cannot be reached now; try again in a few seconds"
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "the request was given up before it was answered" // its sender is gone
	case errors.Is(err, seal.ErrUnknownKey), errors.Is(err, seal.ErrNotGenuine):
		return http.StatusInternalServerError, err.Error()
	default:
		return http.StatusInternalServerError, "something is wrong on our side; the log says what, under the id of this request"
	}
}
