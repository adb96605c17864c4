package http_test

import (
	"encoding/json"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/http"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

func serve(t *testing.T, handler nethttp.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// open makes a destination.
func open(t *testing.T, c destination.Config) destination.Destination {
	t.Helper()
	client := &nethttp.Client{Transport: &nethttp.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	d, err := http.Type{}.New(c, destination.Deps{Client: client})
	require.NoError(t, err)
	return d
}

// with is a destination with one request for all event types, and other options.
func with(t *testing.T, url, request, more string) destination.Destination {
	t.Helper()
	c := config(url)
	c.Options = json.RawMessage(`{"requests": {"default": ` + strings.ReplaceAll(request, "URL", url) + `}` + more + `}`)
	return open(t, c)
}

// received is a request as it arrived.
type received struct {
	method, uri string
	header      nethttp.Header
	body        string
}

func receiver(t *testing.T, status int) (url string, requests <-chan received) {
	t.Helper()
	arrived := make(chan received, 10)
	return serve(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- received{r.Method, r.RequestURI, r.Header, string(body)}
		w.WriteHeader(status)
	})), arrived
}

func send(t *testing.T, d destination.Destination, m destination.Message) destination.Result {
	t.Helper()
	results := d.Send(t.Context(), []destination.Message{m})
	require.Len(t, results, 1)
	return results[0]
}

func TestRequest(t *testing.T) {
	t.Parallel()
	odd := destinationtest.User(row{"id": "auth0|a/b?c=d&e f#g", "email": "ada@example.com"})
	m := destinationtest.Message(7, destination.UserUpdated, destinationtest.User(nil), odd, "id")
	for name, c := range map[string]struct {
		request, more string
		want          received
		header        map[string]string
	}{
		"Plain": {
			`{"url": "URL/users", "body": "{id: .user.id}"}`, "",
			received{"POST", "/users", nil, `{"id":"auth0|a/b?c=d&e f#g"}`},
			map[string]string{"Content-Type": "application/json", "Idempotency-Key": m.ID, "Accept": "application/json", "Authorization": ""},
		},
		"ValuesAreEscapedInTheURL": {
			`{"method": "delete", "url": "URL/users/{{ .user.id }}?by={{ .user.id }}&n={{ .change_id }}&t={{ true }}"}`, "",
			received{"DELETE", "/users/auth0%7Ca%2Fb%3Fc%3Dd%26e%20f%23g?by=auth0%7Ca%2Fb%3Fc%3Dd%26e%20f%23g&n=7&t=true", nil, ""},
			map[string]string{"Content-Type": ""},
		},
		"SecretsInHeaders": {
			`{"url": "URL/", "headers": {"Authorization": "Bearer {{ $secrets.token }}"}}`, `, "headers": {"authorization": "none", "X-All": "yes"}`,
			received{"POST", "/", nil, ""},
			map[string]string{"Authorization": "Bearer " + token, "X-All": "yes"},
		},
		"HeaderOfNothingIsLeftOut": {
			`{"url": "URL/", "headers": {"X-Name": "Mx {{ .user.username }}", "Accept": "{{ empty }}"}}`, "",
			received{"POST", "/", nil, ""},
			map[string]string{"X-Name": "", "Accept": ""},
		},
		"OtherIdempotencyHeader": {
			`{"url": "URL/"}`, `, "idempotency_header": "X-Request-Id"`,
			received{"POST", "/", nil, ""},
			map[string]string{"X-Request-Id": m.ID, "Idempotency-Key": ""},
		},
		"NoIdempotencyHeader": {
			`{"url": "URL/"}`, `, "idempotency_header": ""`,
			received{"POST", "/", nil, ""},
			map[string]string{"Idempotency-Key": ""},
		},
		"Form": {
			`{"url": "URL/", "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": "\"id=\\(.user.id|@uri)&active=false\""}`, "",
			received{"POST", "/", nil, "id=auth0%7Ca%2Fb%3Fc%3Dd%26e%20f%23g&active=false"},
			map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
		},
		"OtherJSON": {
			`{"method": "PATCH", "url": "URL/", "headers": {"Content-Type": "application/merge-patch+json"}, "body": "{a: {b: [null, {c: \"\", d: 1}], e: \"\"}, f: {g: null}, h: false, i: {}}"}`, "",
			received{"PATCH", "/", nil, `{"a":{"b":[null,{"d":1}]},"h":false,"i":{}}`},
			map[string]string{"Content-Type": "application/merge-patch+json"},
		},
		"EmptyValuesWhereWanted": {
			`{"url": "URL/", "body": "{a: null, b: \"\"}"}`, `, "keep_empty": true`,
			received{"POST", "/", nil, `{"a":null,"b":""}`},
			nil,
		},
		"BracesWithin": {
			`{"url": "URL/{{ {a: {b: 1}} | tojson }}"}`, "",
			received{"POST", "/%7B%22a%22%3A%7B%22b%22%3A1%7D%7D", nil, ""},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := receiver(t, nethttp.StatusOK)
			d := with(t, url, c.request, c.more)
			result := send(t, d, m)
			require.Equal(t, destination.Delivered, result.Outcome, result.Reason)
			got := <-requests
			for name, value := range c.header {
				require.Equal(t, value, got.header.Get(name), name)
			}
			got.header = nil
			require.Equal(t, c.want, got)
		})
	}
}

// What cannot be sent is given up with a reason, and nothing is sent.
func TestMessagesThatMakeNoRequest(t *testing.T) {
	t.Parallel()
	dots := destinationtest.Message(8, destination.UserUpdated, destinationtest.User(nil), destinationtest.User(row{"id": "..", "email": "a\r\nx: y"}), "id")
	for name, c := range map[string]struct {
		request string
		message destination.Message
		outcome destination.Outcome
		says    string
	}{
		"NothingInThePath":    {`{"method": "DELETE", "url": "URL/users/{{ .user.username }}"}`, destinationtest.Updated(), destination.GiveUp, "gives nothing for this change"},
		"EmptyTextInThePath":  {`{"method": "DELETE", "url": "URL/users/{{ .user.image_url }}"}`, destinationtest.Updated(), destination.GiveUp, "another one"},
		"ObjectInThePath":     {`{"url": "URL/users/{{ .user.raw }}"}`, destinationtest.Updated(), destination.GiveUp, "object where a text"},
		"PathLeadsUp":         {`{"method": "DELETE", "url": "URL/users/{{ .user.id }}/keys"}`, dots, destination.GiveUp, "lead elsewhere"},
		"LineBreakInHeader":   {`{"url": "URL/", "headers": {"X-Mail": "{{ .user.email }}"}}`, dots, destination.GiveUp, "line break"},
		"BodyFails":           {`{"url": "URL/", "body": "{a: .user.email.domain}"}`, destinationtest.Updated(), destination.GiveUp, "default.body fails on this change"},
		"BodyWithSecretFails": {`{"url": "URL/", "body": "$secrets.token | error"}`, destinationtest.Updated(), destination.GiveUp, "the cause is not kept"},
		"BodyOfNothing":       {`{"url": "URL/", "body": "if .type == \"user.deleted\" then .user else empty end"}`, destinationtest.Updated(), destination.Delivered, "nothing to send"},
		"BodyOfEmptyValues":   {`{"url": "URL/", "body": "{name: if_changed(.username), phone: \"\"}"}`, destinationtest.Updated(), destination.Delivered, "no value of the body is set"},
		"LongAddress":         {`{"url": "URL/{{ \"x\" * 300000 }}"}`, destinationtest.Updated(), destination.GiveUp, "options.requests.default.url gives an address of"},
		"LongAddressOfSecret": {`{"url": "URL/{{ $secrets.token * 3000 }}"}`, destinationtest.Updated(), destination.GiveUp, "options.requests.default.url gives an address of"},
		"LargeBody":           {`{"url": "URL/", "body": "{a: (\"x\" * 1100000)}"}`, destinationtest.Updated(), destination.GiveUp, "at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := receiver(t, nethttp.StatusOK)
			d := with(t, url, c.request, "")
			result := send(t, d, c.message)
			require.Equal(t, c.outcome, result.Outcome)
			require.Contains(t, result.Reason, c.says)
			require.NotContains(t, result.Reason, token)
			require.Empty(t, requests)
			_, err := d.Preview(t.Context(), c.message)
			if c.outcome == destination.GiveUp {
				require.True(t, fault.Is(err, fault.Invalid))
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	const usual = `{"url": "URL/"}`
	for name, c := range map[string]struct {
		more string
		want map[int]destination.Outcome
	}{
		"Usual": {"", map[int]destination.Outcome{
			200: destination.Delivered, 204: destination.Delivered, 302: destination.GiveUp, 400: destination.GiveUp, 401: destination.Pause,
			403: destination.GiveUp, 404: destination.GiveUp, 408: destination.Retry, 422: destination.GiveUp, 425: destination.Retry,
			429: destination.Deferred, 500: destination.Retry, 503: destination.Retry, 599: destination.Retry,
		}},
		"Said": {`, "success": [404, "3xx"], "retry": [409, "401"], "give_up": ["5xx", 429]`, map[int]destination.Outcome{
			200: destination.Delivered, 302: destination.Delivered, 401: destination.Retry, 404: destination.Delivered, 409: destination.Retry,
			429: destination.GiveUp, 500: destination.GiveUp, 422: destination.GiveUp,
		}},
		"ANumberWinsOverAClass": {`, "success": ["4xx"], "retry": [423], "give_up": [404]`, map[int]destination.Outcome{
			400: destination.Delivered, 404: destination.GiveUp, 423: destination.Retry, 500: destination.Retry,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for status, want := range c.want {
				url, _ := receiver(t, status)
				result := send(t, with(t, url, usual, c.more), destinationtest.Updated())
				require.Equal(t, want, result.Outcome, "%d: %s", status, result.Reason)
				require.Equal(t, status, result.Status)
				if want != destination.Delivered {
					require.Contains(t, result.Reason, strconv.Itoa(status))
				}
			}
		})
	}
}

func TestRetryAfterIsKeptTo(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]destination.Outcome{429: destination.Deferred, 503: destination.Deferred, 500: destination.Deferred, 400: destination.GiveUp} {
		url := serve(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			w.Header().Set("Retry-After", "11")
			w.WriteHeader(status)
		}))
		result := send(t, with(t, url, `{"url": "URL/"}`, ""), destinationtest.Updated())
		require.Equal(t, want, result.Outcome)
		if want == destination.Deferred {
			require.Equal(t, 11*time.Second, result.After)
		}
	}
}

// empties reports a null or an empty text that is a member of an object.
func empties(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			if member == nil || member == "" || empties(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, empties)
	}
	return false
}

// Whatever a user is like: no empty value is sent, no value that did not change, and no secret is shown.
func TestMappingSendsNoEmptyValueAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	const body = `{mail: if_changed(.email), name: if_changed(.first_name), deep: {plan: if_changed(.raw.plan), all: .user.raw}, key: $secrets.token}`
	quoted, err := json.Marshal(body)
	require.NoError(t, err)
	url, requests := receiver(t, nethttp.StatusInternalServerError)
	d := with(t, url, `{"url": "URL/{{ .user.id }}/{{ $secrets.token }}", "body": `+string(quoted)+`}`, `, "headers": {"X-Key": "{{ $secrets.unused }}"}`)
	values := rapid.SampledFrom([]any{nil, "", "x", 0, false, []any{}, map[string]any{}, map[string]any{"a": nil, "b": map[string]any{"c": ""}}})
	rapid.Check(t, func(rt *rapid.T) {
		user := func(label string) row {
			plan := values.Draw(rt, label+" plan")
			return destinationtest.User(row{"email": values.Draw(rt, label+" email"), "first_name": values.Draw(rt, label+" name"), "raw": map[string]any{"plan": plan}})
		}
		before, after := user("old"), user("new")
		m := destinationtest.Message(5, destination.UserUpdated, before, after, "email", "first_name", "raw")
		result := d.Send(t.Context(), []destination.Message{m})[0]
		require.Equal(rt, destination.Retry, result.Outcome, result.Reason)
		arrived := <-requests
		var sent map[string]any
		require.NoError(rt, json.Unmarshal([]byte(arrived.body), &sent))
		require.False(rt, empties(sent), arrived.body)
		for member, column := range map[string]string{"mail": "email", "name": "first_name"} {
			_, is := sent[member]
			old, err := json.Marshal(before[column])
			require.NoError(rt, err)
			now, err := json.Marshal(after[column])
			require.NoError(rt, err)
			require.False(rt, is && string(old) == string(now), "%s did not change", column)
		}
		shown, err := d.Preview(t.Context(), m)
		require.NoError(rt, err)
		text, err := json.Marshal(shown) //nolint:musttag // to look for secrets in all fields
		require.NoError(rt, err)
		for _, text := range []string{string(text), result.Reason, result.Response} {
			require.NotContains(rt, text, token)
			require.NotContains(rt, text, name)
		}
	})
}

// A server that quotes its request in an answer does not bring what was made of a secret into the store.
func TestWhatIsMadeOfSecretsIsHidden(t *testing.T) {
	t.Parallel()
	url := serve(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.WriteHeader(nethttp.StatusBadRequest)
		_, _ = io.WriteString(w, r.Header.Get("X-Basic")+"|"+r.Header.Get("X-Upper")+"|"+r.URL.Query().Get("key"))
	}))
	result := send(t, open(t, config(url)), destinationtest.Updated())
	require.Equal(t, "Basic ***|***|***", result.Response)
}

func TestWhatABodyMakesOfSecretsIsHidden(t *testing.T) {
	t.Parallel()
	url := serve(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.WriteHeader(nethttp.StatusBadRequest)
		_, _ = io.Copy(w, r.Body)
	}))
	d := with(t, url, `{"url": "URL/", "body": "{type, auth: [{basic: (\"robot:\\($secrets.token)\" | @base64)}]}"}`, "")
	require.JSONEq(t, `{"type": "user.updated", "auth": [{"basic": "***"}]}`, send(t, d, destinationtest.Updated()).Response)

	// What fails with masked secrets is hidden whole.
	d = with(t, url, `{"url": "URL/", "body": "{type, half: ($secrets.token | if . == \"***\" then error else .[4:] end)}"}`, "")
	require.JSONEq(t, `{"type": "***", "half": "***"}`, send(t, d, destinationtest.Updated()).Response)
}

// An erasure has a request of its own, otherwise that of a deletion. One for all changes would write empty values, or make the user anew.
func TestErasureIsNoOrdinaryChange(t *testing.T) {
	t.Parallel()
	m := destinationtest.Updated()
	m.EventType, m.Row, m.Before, m.Changed = destination.UserErased, json.RawMessage(`{"id": "auth0|1", "raw": null}`), nil, []string{}
	const remove = `{"method": "DELETE", "url": "URL/users/{{ .user.id }}"}`
	for name, c := range map[string]struct{ requests, wants string }{
		"Own":      {`{"user.erased": {"url": "URL/erase", "body": ".user.id"}, "user.deleted": ` + remove + `}`, "POST /erase"},
		"Deletion": {`{"default": {"url": "URL/any"}, "user.deleted": ` + remove + `}`, "DELETE /users/auth0%7C1"},
		"None":     {`{"default": {"url": "URL/any"}, "user.*": {"url": "URL/any"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := receiver(t, 200)
			config := config(url)
			config.Options = json.RawMessage(`{"requests": ` + strings.ReplaceAll(c.requests, "URL", url) + `}`)
			r := send(t, open(t, config), m)
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
			if c.wants == "" {
				require.Contains(t, r.Reason, "nothing to do for user.erased")
				require.Empty(t, requests)
				return
			}
			got := <-requests
			require.Equal(t, c.wants, got.method+" "+got.uri)
		})
	}
}
