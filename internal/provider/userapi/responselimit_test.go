package userapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
)

// However many sources are read from, only so many long answers are held.
func TestLongAnswersWaitForRoom(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", 3<<20) + `"`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := long
		if r.URL.Path == "/short" {
			body = `"short"`
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	c := NewClient("Clerk", Deps{Transport: egress.New(egress.Config{Allow: egress.Loopback()}).Transport()}, Rate{}, "secret")
	rooms := NewResponseLimit(1)

	first, slot := rooms.With(t.Context())
	answer, err := c.Do(first, Request{What: "read", URL: server.URL})
	require.NoError(t, err)
	require.Len(t, answer.Body, len(long))
	_, err = c.Do(first, Request{What: "read", URL: server.URL})
	require.NoError(t, err, "one page may take several answers")

	second, other := rooms.With(t.Context())
	_, err = c.Do(second, Request{What: "read", URL: server.URL + "/short"})
	require.NoError(t, err, "short ones never wait")
	stopped := errors.New("the worker stops")
	waiting, stop := context.WithCancelCause(second)
	done := make(chan error)
	go func() {
		_, err := c.Do(waiting, Request{What: "read", URL: server.URL})
		done <- err
	}()
	stop(stopped)
	require.ErrorIs(t, <-done, stopped)

	slot.Release()
	slot.Release()
	_, err = c.Do(second, Request{What: "read", URL: server.URL})
	require.NoError(t, err)
	other.Release()
}
