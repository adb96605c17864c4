package hubspot_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// exchangesOf are the requests of a result: method, path and status.
func exchangesOf(b *testBundle, r destination.Result) (out []string) {
	for _, e := range r.Exchanges {
		path, _, _ := strings.Cut(strings.TrimPrefix(e.URL, b.url+hubspottest.Contacts), "?")
		out = append(out, fmt.Sprintf("%s %s %d", e.Method, path, e.Status))
	}
	return out
}

func TestExchanges(t *testing.T) {
	t.Parallel()

	t.Run("AllRequestsOfAnAttempt", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		r := b.send1(t, message(t, nil, ada()))
		require.Equal(t, []string{"GET /user_1 404", "GET /ada@example.com 404", "POST  201"}, exchangesOf(b, r))
		calls := b.portal.Calls()
		for i, e := range r.Exchanges {
			require.Equal(t, string(calls[i].Body), e.Body)
			require.Equal(t, "Bearer ***", e.Header.Get("Authorization"))
			require.Empty(t, e.Note)
		}
		require.Contains(t, r.Exchanges[0].Response, "OBJECT_NOT_FOUND")
		require.Equal(t, r.Response, r.Exchanges[2].Response)
	})

	// What is kept with a delivery is erased with its person: it has nothing of another one.
	t.Run("OfABatchTheOwnPart", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		results := b.send(t, message(t, nil, ada()), message(t, nil, ada().with(func(u *user) { u.ID, u.Email, u.First = "user_2", "eve@example.com", "Eve" })))
		require.Len(t, b.portal.Calls(), 1)
		for i, own := range []string{"ada@example.com", "eve@example.com"} {
			other := []string{"eve", "ada"}[i]
			require.Len(t, results[i].Exchanges, 1)
			e := results[i].Exchanges[0]
			require.Equal(t, "part of a batch of 2 records, whose parts and answers are left out", e.Note)
			require.Equal(t, len(b.portal.Calls()[0].Body), e.BodyBytes, "the size is that of the whole")
			require.Contains(t, e.Body, own)
			require.Contains(t, e.Response, own)
			require.NotContains(t, fmt.Sprintf("%+v", e), other+"@example.com")
			var body struct {
				Inputs []json.RawMessage `json:"inputs"`
			}
			require.NoError(t, json.Unmarshal([]byte(e.Body), &body))
			require.Len(t, body.Inputs, 1)
		}
	})

	t.Run("ABatchThatIsRefusedSaysNothingOfOthers", func(t *testing.T) {
		t.Parallel()
		results := quotingPortal(t).Send(t.Context(), []destination.Message{
			message(t, nil, ada()), message(t, nil, ada().with(func(u *user) { u.ID, u.Email = "user_2", "eve@example.com" })),
		})
		require.Len(t, results[0].Exchanges, 4, "it was sent alone after the batch")
		require.Empty(t, results[0].Exchanges[0].Response)
		require.Contains(t, results[0].Exchanges[3].Response, "user_1")
		all := fmt.Sprintf("%+v", results[0])
		require.NotContains(t, all, "eve@example.com")
		require.NotContains(t, all, "user_2")
	})

	t.Run("TheAnswerAboutAnotherUserIsLeftOut", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		b.portal.Add(map[string]string{"email": "ada@example.com", idProperty: "user_other"})
		r := b.send1(t, message(t, nil, ada()))
		require.Equal(t, destination.Retry, r.Outcome)
		require.Equal(t, []string{"GET /user_1 404", "GET /ada@example.com 200"}, exchangesOf(b, r))
		require.Empty(t, r.Exchanges[1].Response)
		require.Equal(t, "the answer names another record, and is left out", r.Exchanges[1].Note)
	})

	t.Run("OfManyTheLast", func(t *testing.T) {
		t.Parallel()
		messages := make([]destination.Message, 64)
		for i := range messages {
			messages[i] = message(t, nil, ada().with(func(u *user) { u.ID, u.Email = fmt.Sprint("user_", i), fmt.Sprintf("ada%d@example.com", i) }))
		}
		r := quotingPortal(t).Send(t.Context(), messages)[0]
		require.Len(t, r.Exchanges, destination.MaxExchanges)
		require.Equal(t, 1, r.Omitted, "six batches, two look-ups and a creation")
		require.JSONEq(t, `{"properties": {"authsync_user_id": "user_0", "email": "ada0@example.com", "firstname": "Ada", "lastname": "Lovelace"}}`,
			r.Exchanges[destination.MaxExchanges-1].Body)
	})
}

// quotingPortal is a destination whose other side has nothing, and refuses all with an answer that quotes the request.
func quotingPortal(t *testing.T) destination.Destination {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status := http.StatusBadRequest
		if r.Method == http.MethodGet {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "not valid: " + string(body), "category": "VALIDATION_ERROR"})
	}))
	t.Cleanup(server.Close)
	return open(t, server.URL, withID, destination.Deps{})
}
