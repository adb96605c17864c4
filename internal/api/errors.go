package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
)

// failure is an error whose answer is known.
type failure struct {
	code   code
	detail string
	fields []problem.Field
}

func (f *failure) Error() string { return f.detail }

func fail(c code, format string, args ...any) error {
	return &failure{code: c, detail: fmt.Sprintf(format, args...)}
}

// wrong is a 422 about one thing that was sent.
func wrong(in, field, fault, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &failure{invalidRequest, detail, []problem.Field{{In: in, Field: field, Code: fault, Detail: detail}}}
}

// wrongField is a 422 about a value in the body.
func wrongField(field, format string, args ...any) error {
	return wrong(inBody, field, problem.Invalid, format, args...)
}

// Where things are sent.
const (
	inBody   = "body"
	inQuery  = "query"
	inHeader = "header"
)

// What is wrong with the key that a request shows.
var (
	errNoCredentials = fail(unauthenticated, "the request shows no key: send the header Authorization: Bearer capy_live_…")
	errOtherScheme   = fail(unauthenticated, "the header Authorization must begin with Bearer, followed by a key (capy_live_… or capy_test_…)")
	errUnknownKey    = fail(unauthenticated, "this key is unknown or was revoked: use another one, or make one with authsync keys create")
	errLimitedKey    = fail(keyLimited, "this key is limited to one project and may not make this call: use a key that is not")
)

// retryAfter is what a caller is told to wait when the trouble is ours.
const retryAfter = 5 * time.Second

// providerRetryAfter is the same when it is the provider's: it was asked several
// times already.
const providerRetryAfter = 30 * time.Second

// writeError answers with the problem that err is, and returns its status.
func writeError(w http.ResponseWriter, r *http.Request, err error) int {
	f := describe(err)
	status := f.code.status()
	opts := []problem.Option{problem.Code(string(f.code)), problem.Errors(inKnownFields(r, f.fields)...)}
	switch {
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="authsync"`)
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		opts = append(opts, problem.RetryAfter(pauseAfter(err)))
	case f.code == idempotencyInUse:
		opts = append(opts, problem.RetryAfter(time.Second))
	}
	problem.Write(w, r, status, "", f.detail, opts...)
	return status
}

// pauseAfter is how long a caller should wait after an error that may pass.
func pauseAfter(err error) time.Duration {
	var limited *userapi.RateLimitError
	var temporary *userapi.TemporaryError
	switch {
	case errors.As(err, &limited):
		return limited.After + time.Second - 1 // whole seconds, rounded up
	case errors.As(err, &temporary):
		return providerRetryAfter
	default:
		return retryAfter
	}
}

// describe is the one table from errors to what is answered.
func describe(err error) *failure {
	for _, table := range []func(error) *failure{ofRequest, ofThings, ofProvider, ofDatabases} {
		if f := table(err); f != nil {
			return f
		}
	}
	return &failure{code: internalError, detail: "internal error: the log has the cause, under the id of this request"}
}

// ofRequest knows errors of what was sent.
func ofRequest(err error) *failure {
	var known *failure
	var invalid *project.InvalidError
	var misshapen *destination.InvalidError
	var tooLarge *http.MaxBytesError
	var choose *refresh.ChooseError
	var refused *mirror.GrantError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return &failure{code: bodyTooLarge, detail: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case errors.As(err, &invalid):
		return invalidField(invalid.Field, invalid.Detail)
	case destination.Unavailable(err):
		return &failure{code: controlDatabaseAway, detail: "the server has no room now to run the destination's expressions; try again in a few seconds"}
	case errors.As(err, &misshapen):
		return invalidField(misshapen.Field, err.Error())
	case errors.As(err, &choose):
		return invalidField("provider", err.Error())
	case errors.As(err, &refused):
		return invalidField("role", err.Error())
	case errors.Is(err, project.ErrBadCursor), errors.Is(err, inbox.ErrBadCursor), errors.Is(err, delivery.ErrBadCursor),
		errors.Is(err, rejections.ErrBadCursor):
		f, _ := errors.AsType[*failure](wrong(inQuery, "cursor", problem.Invalid,
			"cursor is not one that this list returned: take next_cursor of the page before, or leave it out"))
		return f
	}
	return nil
}

// ofThings knows errors of what a call is about.
func ofThings(err error) *failure {
	var running *syncrun.RunningError
	var state *delivery.StateError
	var unknown *refresh.UnknownError
	for _, missing := range []struct {
		err    error
		code   code
		detail string
	}{
		{project.ErrNoProject, projectNotFound, ""},
		{project.ErrNoIntegration, integrationNotFound, ""},
		{project.ErrNoKey, keyNotFound, "there is no key of this id: GET " + Prefix + "/keys lists those there are"},
		{project.ErrNoDestination, destinationNotFound, "the project has no such destination: GET …/destinations lists those there are"},
		{delivery.ErrNoDelivery, deliveryNotFound, "the project has no such delivery: GET …/deliveries lists those there are"},
		{delivery.ErrNoChange, changeNotFound, "the project's mirror has no such user, or no change of it: GET …/users/{user} shows a user's changes"},
		{inbox.ErrNoEvent, eventNotFound, ""},
		{inbox.ErrNoMessage, eventNotFound, ""},
		{syncrun.ErrNoRun, runNotFound, ""},
		{project.ErrNameTaken, nameTaken, "there is a project of this name already: choose another name, or use that project"},
		{project.ErrDestinationTaken, nameTaken, "the project has a destination of this name already: choose another name, or change that one"},
		{project.ErrDatabaseExists, databaseExists, ""},
	} {
		if !errors.Is(err, missing.err) {
			continue
		}
		if missing.detail == "" {
			missing.detail = err.Error()
		}
		return &failure{code: missing.code, detail: missing.detail}
	}
	switch {
	case errors.As(err, &running):
		return &failure{code: runUnfinished, detail: fmt.Sprintf("%[1]s %[2]s of this provider is %[3]s: GET …/%[1]s shows how far it is, DELETE …/%[1]s cancels it",
			running.Run.Kind, running.Run.ID, running.Run.State)}
	case errors.As(err, &unknown):
		return &failure{code: userNotFound, detail: err.Error()}
	case errors.As(err, &state):
		return &failure{code: wrongState, detail: state.Detail}
	}
	return nil
}

// ofProvider knows errors of what providers say, or cannot be asked.
func ofProvider(err error) *failure {
	var notAllowed *source.UnsupportedError
	var credentials *userapi.CredentialsError
	var limited *userapi.RateLimitError
	var temporary *userapi.TemporaryError
	var protocol *userapi.ProtocolError
	var noStream *userapi.NoStreamError
	var notNow *userapi.NotNowError
	switch {
	case errors.As(err, &notAllowed), errors.Is(err, userapi.ErrNoCredentials):
		return &failure{code: notPossible, detail: err.Error()}
	case errors.As(err, &credentials):
		return &failure{code: credentialsRefused, detail: err.Error()}
	case errors.As(err, &noStream):
		return &failure{code: streamNotFound, detail: err.Error()}
	case errors.As(err, &notNow):
		return &failure{code: redeliveryUnderWay, detail: err.Error()}
	case errors.As(err, &limited):
		return &failure{code: providerUnavailable, detail: err.Error() + ": send this again after that, see Retry-After"}
	case errors.As(err, &temporary):
		return &failure{code: providerUnavailable, detail: err.Error() + ": it may pass; send this again in a minute"}
	case errors.As(err, &protocol):
		return &failure{
			code: providerError, detail: err.Error() +
				" (trying again will not help: look at the integration's credentials and options.base_url first)",
		}
	}
	return nil
}

// ofDatabases knows errors of the project's database and of authsync's own.
func ofDatabases(err error) *failure {
	var unusable *project.DatabaseError
	var refusedRow *refresh.RefusedError
	var delayed *tenantdb.DelayError
	switch {
	case errors.As(err, &unusable):
		return &failure{code: databaseUnusable, detail: err.Error()}
	case errors.As(err, &refusedRow):
		return &failure{code: rowRefused, detail: err.Error()}
	case errors.As(err, &delayed):
		return &failure{code: projectDatabaseAway, detail: "the project's database cannot be used now: " + pgdb.Describe(delayed.Err)}
	case pgdb.Unavailable(err):
		return &failure{code: controlDatabaseAway, detail: "authsync's own database cannot be reached now; try again in a few seconds"}
	case errors.Is(err, context.Canceled):
		return &failure{code: requestAbandoned, detail: "the request was given up before it was answered"} // its sender is gone
	case errors.Is(err, seal.ErrUnknownKey), errors.Is(err, seal.ErrNotGenuine):
		return &failure{code: encryptionKeyMissing, detail: err.Error()}
	}
	return nil
}

// invalidField is a 422 about one field of the body. Where the error does not name it, the
// detail begins with it.
func invalidField(field, detail string) *failure {
	if field == "" {
		field = leadingField(detail)
	}
	return &failure{invalidRequest, detail, []problem.Field{{In: inBody, Field: field, Code: problem.Invalid, Detail: detail}}}
}

// leadingField is the path that a detail begins with, such as options.url of "options.url
// is missing: …"; empty if it begins with a word that is no path.
func leadingField(detail string) string {
	end := strings.IndexFunc(detail, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.'
	})
	if end < 0 {
		end = len(detail)
	}
	return strings.Trim(detail[:end], ".")
}

// inKnownFields replaces the fields that the call's body does not have: where a detail begins with
// another word it may name the field further on, otherwise it is about the body as a whole.
func inKnownFields(r *http.Request, fields []problem.Field) []problem.Field {
	known := stateOf(r).bodyKeys
	checked := slices.Clone(fields)
	for i, f := range checked {
		first, _, _ := strings.Cut(f.Field, ".")
		if f.In == inBody && f.Code == problem.Invalid && !slices.Contains(known, first) {
			checked[i].Field = nested.FindString(f.Detail)
		}
	}
	return checked
}

// nested finds the path of a credential, an option or a secret.
var nested = regexp.MustCompile(`\b(?:credentials|options|secrets)\.[a-z_]+(?:\.[a-z_]+)*`)
