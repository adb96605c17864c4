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

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/tenantdb"
)

// failure is an error whose answer is known, but for its status. It is another than fault.Error, which the packages of the
// domain make, because only HTTP has headers, queries and bodies, and bodies in which several things are wrong at once.
type failure struct{ problem.Document }

func (f *failure) Error() string { return f.Detail }

func failing(code fault.Code, detail string, fields ...problem.Field) *failure {
	return &failure{problem.Document{Code: string(code), Detail: detail, Errors: fields}}
}

func fail(code fault.Code, format string, args ...any) error {
	return failing(code, fmt.Sprintf(format, args...))
}

// wrong is a 422 about one thing that was sent.
func wrong(in, field, code, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return failing(fault.Invalid, detail, problem.Field{In: in, Field: field, Code: code, Detail: detail})
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
	errNoKey         = fail(fault.KeyNotFound, "there is no key of this id: GET %s/keys lists those there are", Prefix)
	errLimitedKey    = fail(keyLimited, "this key is limited to one project and may not make this call: use a key that is not")
)

// retryAfter is how long a caller is to wait when the trouble is ours.
const retryAfter = 5 * time.Second

// providerRetryAfter is the same when it is the provider's: it was called several
// times already.
const providerRetryAfter = 30 * time.Second

// writeError answers with the problem that err is, and returns its status.
func writeError(w http.ResponseWriter, r *http.Request, err error) int {
	d := describe(err).Document
	d.Status, d.Errors = statusOf(d.Code), inKnownFields(r, d.Errors)
	switch {
	case d.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="authsync"`)
	case d.Status == http.StatusServiceUnavailable, d.Status == http.StatusTooManyRequests:
		problem.RetryAfter(pauseAfter(err))(&d)
	case d.Code == string(idempotencyInUse):
		problem.RetryAfter(time.Second)(&d)
	}
	d.Write(w, r)
	return d.Status
}

// pauseAfter is how long a caller should wait after an error that may pass.
func pauseAfter(err error) time.Duration {
	var limited *userapi.RateLimitError
	switch {
	case errors.As(err, &limited):
		return limited.After + time.Second - 1 // whole seconds, rounded up
	case fault.Is(err, fault.ProviderUnavailable):
		return providerRetryAfter
	default:
		return retryAfter
	}
}

// describe returns the answer to an error: that of the API itself as it is, that of the
// domain by its code, and a few of libraries and databases by what they are.
func describe(err error) *failure {
	var known *failure
	var tooLarge *http.MaxBytesError
	var delayed *tenantdb.DelayError
	var run *jq.RunError // the caller's expression; one of a destination has a code, too
	coded, isCoded := fault.As(err)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return failing(bodyTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit))
	case isCoded:
		return ofCode(err, coded)
	case errors.As(err, &run):
		return invalidField("", run.Error())
	case errors.As(err, new(*jq.UnavailableError)):
		return ofCode(err, &fault.Error{Code: fault.Unavailable})
	case errors.As(err, &delayed):
		return failing(projectDatabaseAway, "the project's database cannot be used now: "+pgdb.Describe(delayed.Err))
	case pgdb.Unavailable(err):
		return failing(fault.Unavailable, "authsync's own database cannot be reached now; try again in a few seconds")
	case errors.Is(err, context.Canceled):
		return failing(requestAbandoned, "the request was given up before it was answered") // its sender is gone
	case errors.Is(err, seal.ErrUnknownKey), errors.Is(err, seal.ErrNotGenuine):
		return failing(encryptionKeyMissing, err.Error())
	}
	return failing(internalError, "internal error: the log has the cause, under the id of this request")
}

// ofCode is the answer to an error of the domain. What is wrapped around it tells where it happened.
func ofCode(err error, coded *fault.Error) *failure {
	switch {
	case errors.Is(err, fault.ErrBadCursor):
		return invalidIn(inQuery, coded.Field, coded.Message)
	case coded.Code == fault.Invalid:
		return invalidField(coded.Field, coded.Message)
	case coded.Code == fault.Unavailable: // its message is the cause of a delivery's deferral, and for its reader
		return failing(coded.Code, "the server has no room now to run the destination's expressions; try again in a few seconds")
	}
	return failing(coded.Code, err.Error()+advice(err, coded.Code))
}

// advice is whether another call to a provider is of use.
func advice(err error, code fault.Code) string {
	switch {
	case code == fault.ProviderError:
		return " (trying again will not help: look at the integration's credentials and options.base_url first)"
	case code != fault.ProviderUnavailable:
		return ""
	case errors.As(err, new(*userapi.RateLimitError)):
		return ": send this again after that, see Retry-After"
	default:
		return ": it may pass; send this again in a minute"
	}
}

// invalidField is a 422 about one field of the body. Where the error does not name it, the
// detail begins with it.
func invalidField(field, detail string) *failure {
	if field == "" {
		field = leadingField(detail)
	}
	return invalidIn(inBody, field, detail)
}

func invalidIn(in, field, detail string) *failure {
	return failing(fault.Invalid, detail, problem.Field{In: in, Field: field, Code: problem.Invalid, Detail: detail})
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
