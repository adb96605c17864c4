package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

// receiver takes webhooks and answers with a status and a header.
func receiver(t *testing.T, status int, header ...string) (url string, requests <-chan received) {
	t.Helper()
	arrived := make(chan received, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- received{r.Method, r.URL.String(), r.Header, body}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL, arrived
}

func deliver(t *testing.T, m destination.Message, now time.Time, c destination.Config) destination.Result {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	d, err := webhook.Type{}.New(c, destination.Deps{Client: client, Now: func() time.Time { return now }})
	require.NoError(t, err)
	results := d.Send(t.Context(), []destination.Message{m})
	require.Len(t, results, 1)
	return results[0]
}

// sentAt is the request that a message makes.
func sentAt(t *testing.T, m destination.Message, now time.Time, change func(*destination.Config)) received {
	t.Helper()
	url, requests := receiver(t, http.StatusNoContent)
	c := config(url + "/hooks?from=authsync")
	change(&c)
	result := deliver(t, m, now, c)
	require.Equal(t, destination.Delivered, result.Outcome, result.Reason)
	require.Equal(t, http.StatusNoContent, result.Status)
	return <-requests
}

func sent(t *testing.T, m destination.Message, change func(*destination.Config)) received {
	t.Helper()
	return sentAt(t, m, time.Now(), change)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1777890000, 999)
	m := destinationtest.Updated()
	r := sentAt(t, m, now, func(c *destination.Config) {
		c.Options = json.RawMessage(strings.Replace(string(c.Options), "{", `{"headers": {"x-tenant": "shop"},`, 1))
	})
	require.Equal(t, http.MethodPost, r.method)
	require.Equal(t, "/hooks?from=authsync", r.path)
	require.Equal(t, "msg_3f2b8c1d5e6f4a7b8c9d0e1f2a3b4c5d_2", r.header.Get("Webhook-Id"))
	require.Equal(t, strconv.FormatInt(now.Unix(), 10), r.header.Get("Webhook-Timestamp"), "the time of the attempt")
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.Contains(t, r.header.Get("User-Agent"), "authsync")
	require.Equal(t, "shop", r.header.Get("X-Tenant"))
	require.JSONEq(t, `{
		"type": "user.updated", "timestamp": "2026-05-04T10:20:30Z",
		"data": {
			"user": `+string(m.Row)+`, "before": {"email": "ada@old.example"}, "changed": ["email"], "change_id": 2,
			"project_id": "7e0c2b52-4a44-4f0b-9a8e-0d6f5b1c2a10", "provider": "auth0"
		}
	}`, string(r.body))

	created := sent(t, destinationtest.Created(), func(*destination.Config) {})
	require.Contains(t, string(created.body), `"before":null`)
}

// payload sets the option of this name beside the URL.
func payload(expression string) func(*destination.Config) {
	return func(c *destination.Config) {
		var o webhook.Options
		if json.Unmarshal(c.Options, &o) == nil {
			o.Payload = expression
			c.Options, _ = json.Marshal(o)
		}
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	r := sent(t, destinationtest.Updated(), payload(`{text: "\(.user.first_name) is now \(.user.email), was \(.before.email)"}`))
	require.JSONEq(t, `{"text": "Ada is now ada@example.com, was ada@old.example"}`, string(r.body))

	for expression, want := range map[string]struct {
		outcome destination.Outcome
		says    string
	}{
		`if .type == "user.deleted" then . else empty end`: {destination.Delivered, "gives nothing"},
		`null`:               {destination.Delivered, "gives nothing"},
		`.user.email.domain`: {destination.GiveUp, "options.payload fails on this change"},
		`.user, .before`:     {destination.GiveUp, "gives 2 values"},
		`"x" * 1100000`:      {destination.GiveUp, "at most 1048576|took longer than 100ms"}, // on a crowded machine
		`{a: ("x"*3000000)}`: {destination.GiveUp, "at most 1048576|took longer than 100ms"},
	} {
		url, requests := receiver(t, http.StatusOK)
		c := config(url)
		payload(expression)(&c)
		result := deliver(t, destinationtest.Updated(), time.Now(), c)
		require.Equal(t, want.outcome, result.Outcome, expression)
		require.Regexp(t, want.says, result.Reason)
		require.Empty(t, requests, "nothing is sent")
		d, err := webhook.Type{}.New(c, destination.Deps{})
		require.NoError(t, err)
		shown, err := d.Preview(t.Context(), destinationtest.Updated())
		if want.outcome == destination.GiveUp {
			require.True(t, fault.Is(err, fault.Invalid), "%s: %v", expression, err)
			require.Regexp(t, want.says, err.Error())
		} else {
			require.NoError(t, err)
			require.Empty(t, shown)
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, http.StatusOK)
	m := destinationtest.Message(1, destination.UserCreated, nil, destinationtest.User(destinationtest.Row{"raw": strings.Repeat("x", 1<<20)}), "raw")
	result := deliver(t, m, time.Now(), config(url))
	require.Equal(t, destination.GiveUp, result.Outcome)
	require.Contains(t, result.Reason, "options.payload")
	require.Empty(t, requests)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		status  int
		header  []string
		outcome destination.Outcome
		after   time.Duration
		says    string
	}{
		"OK":                     {200, nil, destination.Delivered, 0, ""},
		"Accepted":               {202, nil, destination.Delivered, 0, ""},
		"AnyOtherOf200":          {299, nil, destination.Delivered, 0, ""},
		"Redirect":               {302, []string{"Location", "https://elsewhere.example"}, destination.Retry, 0, "redirects are not followed"},
		"BadRequest":             {400, nil, destination.Retry, 0, "400 Bad Request"},
		"Unauthorized":           {401, nil, destination.Retry, 0, "401"},
		"NotFound":               {404, nil, destination.Retry, 0, "404"},
		"Gone":                   {410, nil, destination.Disable, 0, "resume"},
		"TooMany":                {429, nil, destination.Deferred, 30 * time.Second, "takes no more for 30s"},
		"TooManyFor7Seconds":     {429, []string{"Retry-After", "7"}, destination.Deferred, 7 * time.Second, "7s"},
		"TooManyUntil":           {429, []string{"Date", now.UTC().Format(http.TimeFormat), "Retry-After", now.Add(time.Minute).UTC().Format(http.TimeFormat)}, destination.Deferred, time.Minute, "1m0s"},
		"TooManyForNoTime":       {429, []string{"Retry-After", "0"}, destination.Deferred, time.Second, "1s"},
		"TooManyForAMonth":       {429, []string{"Retry-After", "2592000"}, destination.Deferred, time.Hour, "1h"},
		"Unavailable":            {503, nil, destination.Retry, 0, "503"},
		"UnavailableFor9Seconds": {503, []string{"Retry-After", "9"}, destination.Deferred, 9 * time.Second, "9s"},
		"ErrorWithRetryAfter":    {500, []string{"Retry-After", "9"}, destination.Retry, 0, "500"},
		"UnknownStatus":          {599, nil, destination.Retry, 0, "599"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := receiver(t, c.status, c.header...)
			result := deliver(t, destinationtest.Updated(), now, config(url))
			require.Equal(t, c.outcome, result.Outcome, result.Reason)
			require.Equal(t, c.status, result.Status)
			require.Equal(t, c.after, result.After)
			require.Contains(t, result.Reason, c.says)
		})
	}
}

func TestAnswerThatNeverEnds(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte("wait for it"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	d, err := webhook.Type{AttemptTime: 300 * time.Millisecond}.New(config(server.URL), destination.Deps{Client: client})
	require.NoError(t, err)
	result := d.Send(t.Context(), []destination.Message{destinationtest.Updated()})[0]
	require.Equal(t, destination.Delivered, result.Outcome, "the status says that it was taken")
	require.Equal(t, "wait for it", result.Response)
}

// The examples of the documentation are options that work.
func TestExamples(t *testing.T) {
	t.Parallel()
	role := func(role string) destinationtest.Row {
		return destinationtest.User(destinationtest.Row{"raw": map[string]any{"app_metadata": map[string]any{"role": role}}})
	}
	m := destinationtest.Message(5, destination.UserUpdated, role("member"), role("admin"), "raw")
	for name, want := range map[string]string{
		"webhook.json": `"type":"user.updated"`,
		"review.json":  `{"text":"The role of ada@example.com is now admin, it was member"}`,
	} {
		r := sent(t, m, func(c *destination.Config) {
			var here, example webhook.Options
			require.NoError(t, json.Unmarshal(c.Options, &here))
			text, err := os.ReadFile("../../../docs/destinations/examples/" + name)
			require.NoError(t, err)
			require.NoError(t, destination.DecodeOptions(text, &example))
			example.URL = here.URL
			c.Options, err = json.Marshal(example)
			require.NoError(t, err)
		})
		require.Contains(t, string(r.body), want)
	}
}

// A name may lead to a private address only when it is looked up, long after it was stored.
func TestTargetThatIsGuarded(t *testing.T) {
	t.Parallel()
	guard := egress.New(egress.Config{})
	_, err := webhook.Type{}.New(config("https://10.0.0.5/hook"), destination.Deps{CheckURL: guard.CheckURL})
	require.True(t, fault.Is(err, fault.Invalid))
	require.ErrorContains(t, err, "options.url: https://10.0.0.5")
	require.ErrorContains(t, err, egress.Setting)

	url, requests := receiver(t, http.StatusOK)
	d, err := webhook.Type{}.New(config(url), destination.Deps{Client: guard.Client(time.Second)})
	require.NoError(t, err)
	result := d.Send(t.Context(), []destination.Message{destinationtest.Updated()})[0]
	require.Equal(t, destination.Pause, result.Outcome, "no other message gets through either")
	require.Contains(t, result.Reason, egress.Setting)
	require.Empty(t, requests)
}
