package hubspottest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/hubspottest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// call sends a request to a portal.
func call(h *hubspottest.HubSpot, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, hubspottest.Contacts+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+hubspottest.Token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAddressIsUnique(t *testing.T) {
	t.Parallel()
	h := hubspottest.New(hubspottest.Config{})
	id := h.Add(map[string]string{"email": "a@example.com"}, "second@example.com")
	for _, address := range []string{"A@Example.com", "second@example.com"} {
		w := call(h, "POST", "", `{"properties":{"email":"`+address+`"}}`)
		require.Equal(t, http.StatusConflict, w.Code)
		require.Contains(t, w.Body.String(), "Contact already exists. Existing ID: "+id+`"`)
	}
	other := h.Add(map[string]string{"email": "b@example.com"})
	require.Equal(t, http.StatusConflict, call(h, "PATCH", "/"+other, `{"properties":{"email":"a@example.com"}}`).Code)
	require.Equal(t, http.StatusOK, call(h, "PATCH", "/"+id, `{"properties":{"email":"second@example.com"}}`).Code)
}

func TestSearchLagsBehindReadsDoNot(t *testing.T) {
	t.Parallel()
	clock := userapitest.NewClock()
	h := hubspottest.New(hubspottest.Config{Now: clock.Now, SearchLag: 3 * time.Second})
	h.Add(map[string]string{"email": "a@example.com"})
	total := func() int {
		w := call(h, "POST", "/search", `{"filterGroups":[{"filters":[{"propertyName":"email","operator":"EQ","value":"a@example.com"}]}],"limit":1}`)
		var said struct {
			Total int `json:"total"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &said))
		return said.Total
	}
	require.Zero(t, total())
	require.Equal(t, http.StatusOK, call(h, "GET", "/a@example.com?idProperty=email", "").Code)
	clock.Advance(3 * time.Second)
	require.Equal(t, 1, total())
}

func TestLimitsAreMeasured(t *testing.T) {
	t.Parallel()
	clock := userapitest.NewClock()
	h := hubspottest.New(hubspottest.Config{Now: clock.Now, Limits: hubspottest.Limits{Window: 2, Daily: 4, RetryAfter: true}})
	read := func() *httptest.ResponseRecorder { return call(h, "GET", "/1", "") }
	require.Equal(t, "1", read().Header().Get("X-HubSpot-RateLimit-Remaining"))
	clock.Advance(4 * time.Second)
	require.Equal(t, http.StatusNotFound, read().Code)
	w := read()
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Contains(t, w.Body.String(), `"policyName":"TEN_SECONDLY_ROLLING"`)
	require.Equal(t, "6", w.Header().Get("Retry-After"))
	require.Len(t, h.Violations(), 1)
	clock.Advance(6 * time.Second) // the window rolls: one of the two has left it
	require.Equal(t, http.StatusNotFound, read().Code)
	require.Equal(t, http.StatusTooManyRequests, read().Code)
	clock.Advance(10 * time.Second)
	require.Equal(t, "0", read().Header().Get("X-HubSpot-RateLimit-Daily-Remaining"))
	require.Contains(t, read().Body.String(), `"policyName":"DAILY"`)
	clock.Advance(24 * time.Hour)
	for range 4 {
		require.NotEqual(t, http.StatusTooManyRequests, call(h, "POST", "/search", "{}").Code)
	}
	clock.Advance(11 * time.Hour)
	require.Contains(t, call(h, "POST", "/search", "{}").Body.String(), "DAILY")

	h = hubspottest.New(hubspottest.Config{Now: clock.Now})
	for range 4 {
		call(h, "POST", "/search", "{}")
	}
	require.Contains(t, call(h, "POST", "/search", "{}").Body.String(), `"policyName":"SECONDLY"`)
}

func TestBatches(t *testing.T) {
	t.Parallel()
	h := hubspottest.New(hubspottest.Config{Properties: map[string]hubspottest.Property{"key": {Unique: true}, "plain": {}}})
	h.Add(map[string]string{"email": "taken@example.com"})
	rows := func(property string, addresses ...string) string {
		var out bytes.Buffer
		for i, address := range addresses {
			if i > 0 {
				out.WriteString(",")
			}
			id := address
			if property == "key" {
				id = "k" + address
			}
			out.WriteString(`{"id":"` + id + `","idProperty":"` + property + `","objectWriteTraceId":"t` + address + `","properties":{"email":"` + address + `"}}`)
		}
		return `{"inputs":[` + out.String() + `]}`
	}
	w := call(h, "POST", "/batch/upsert", rows("key", "a@example.com", "taken@example.com", "no address"))
	require.Equal(t, http.StatusMultiStatus, w.Code)
	require.Contains(t, w.Body.String(), `"numErrors":2`)
	require.Contains(t, w.Body.String(), `"new":true,"objectWriteTraceId":"ta@example.com"`)
	require.Len(t, h.Contacts(), 2)

	w = call(h, "POST", "/batch/upsert", rows("email", "b@example.com", "no address"))
	require.Equal(t, http.StatusBadRequest, w.Code, "by address, it fails as a whole")
	require.Len(t, h.Contacts(), 2)
	require.Equal(t, http.StatusBadRequest, call(h, "POST", "/batch/upsert", rows("plain", "b@example.com")).Code)
	require.Equal(t, http.StatusBadRequest, call(h, "POST", "/batch/update", rows("email", "a@example.com")).Code)
	require.Empty(t, h.Violations())
	call(h, "POST", "/batch/upsert", rows("email", "a@example.com", "A@example.com"))
	call(h, "POST", "/batch/upsert", rows("email", strings.Split(strings.Repeat("x,", 100), ",")...))
	require.Len(t, h.Violations(), 2)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	h := hubspottest.New(hubspottest.Config{Delay: time.Millisecond})
	url := h.Start(t) + hubspottest.Contacts
	post := func() (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"properties":{}}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+hubspottest.Token)
		return http.DefaultClient.Do(r)
	}
	h.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore}, hubspottest.Fault{Kind: hubspottest.FaultAfter, Status: 504}, hubspottest.Fault{Kind: hubspottest.FaultCut})
	for made, status := range []int{502, 504, 201} {
		response, err := post()
		require.NoError(t, err)
		require.Equal(t, status, response.StatusCode)
		_, err = io.ReadAll(response.Body)
		require.Equal(t, status == 201, err != nil, "the last is cut off")
		require.NoError(t, response.Body.Close())
		require.Len(t, h.Contacts(), made)
	}
}
