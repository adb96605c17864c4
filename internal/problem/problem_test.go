package problem_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/problem"
)

func TestProblemIsADocumentOfRFC9457(t *testing.T) {
	t.Parallel()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody)

	handler := problem.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, http.StatusServiceUnavailable, "the database is unavailable; try again",
			problem.RetryAfter(1500*time.Millisecond))
	}))
	r.Header.Set("X-Request-Id", "abc-1.2_3")
	handler.ServeHTTP(w, r)

	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Equal(t, "abc-1.2_3", w.Header().Get("X-Request-Id"))
	require.JSONEq(t, `{
		"title": "Service Unavailable", "status": 503, "code": "unavailable", "detail": "the database is unavailable; try again",
		"instance": "urn:authsync:request:abc-1.2_3"
	}`, w.Body.String())
}

func TestProblemNamesItsKindAndTheFieldsThatAreWrong(t *testing.T) {
	t.Parallel()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	given := problem.Document{Status: http.StatusUnprocessableEntity, Code: "of_a_kind", Detail: "two are wrong", Errors: []problem.Field{
		{In: "body", Field: "options.url", Code: problem.Missing, Detail: "give it"},
		{In: "query", Field: "limit", Code: problem.WrongType, Detail: "a number"},
	}}
	given.Write(w, r)
	require.JSONEq(t, `{"title": "Unprocessable Entity", "status": 422, "code": "of_a_kind", "detail": "two are wrong", "errors": [
		{"in": "body", "field": "options.url", "code": "missing", "detail": "give it"},
		{"in": "query", "field": "limit", "code": "wrong_type", "detail": "a number"}]}`, w.Body.String())

	read := problem.Read(w.Code, w.Header(), w.Body.Bytes())
	given.Title = "Unprocessable Entity"
	require.Equal(t, given, read, "who reads it has what was written")

	w = httptest.NewRecorder()
	problem.Write(w, r, http.StatusTeapot, "short")
	require.JSONEq(t, `{"title": "I'm a teapot", "status": 418, "code": "internal_error", "detail": "short"}`, w.Body.String())
}

func TestRequestIDFromOutsideIsTakenOnlyIfPlain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		given string
		kept  bool
	}{
		"Plain":     {"01J-abc_9.Z", true},
		"Longest":   {strings.Repeat("a", 64), true},
		"TooLong":   {strings.Repeat("a", 65), false},
		"Missing":   {"", false},
		"LineBreak": {"a\nlevel=ERROR", false},
		"Space":     {"a b", false},
		"NotASCII":  {"ä", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header["X-Request-Id"] = []string{tc.given}
			var seen string
			problem.WithRequestID(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				seen = problem.RequestID(r.Context())
			})).ServeHTTP(w, r)

			require.Equal(t, seen, w.Header().Get("X-Request-Id"))
			if tc.kept {
				require.Equal(t, tc.given, seen)
			} else {
				require.Len(t, seen, 26)
			}
		})
	}
}

func TestNestedHandlersSeeOneRequestID(t *testing.T) {
	t.Parallel()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	var outer, inner string
	innermost := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner = problem.RequestID(r.Context())
		problem.Write(w, r, http.StatusNotFound, "there is none")
	})
	problem.WithRequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer = problem.RequestID(r.Context())
		problem.WithRequestID(innermost).ServeHTTP(w, r)
	})).ServeHTTP(w, r)

	require.NotEmpty(t, outer)
	require.Equal(t, outer, inner)
	document := problem.Read(w.Code, w.Header(), w.Body.Bytes())
	require.Equal(t, "there is none", document.Detail)
	require.Equal(t, outer, document.RequestID())
}
