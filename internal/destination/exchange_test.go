package destination_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
)

func newRequest(t *testing.T, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	return r
}

func TestExchangeMasksCredentials(t *testing.T) {
	t.Parallel()
	const secret = "s3cret +/key"
	r := newRequest(t, "https://ada:pass@app.example.com/in/s3cret%20%2B%2Fkey?api_key=1234&user=ada&sig=ab%20c&to="+"s3cret%20+/key#part", `{"key":"s3cret +/key","name":"Ada"}`)
	for name, value := range map[string]string{
		"Authorization": "Bearer abc", "Proxy-Authorization": "abc def", "Cookie": "a=b", "Webhook-Signature": "v1,abc", "Svix-Signature": "v1,abc",
		"X-Api-Key": "abc", "X-Auth-Token": "abc", "X-Client_Secret": "abc", "X-Tenant": "of " + secret, "X-Plain": "kept", "Idempotency-Key": "msg_1",
	} {
		r.Header.Set(name, value)
	}
	e := destination.NewMask(secret).Exchange(r)
	require.Equal(t, http.Header{
		"Authorization": {"Bearer ***"}, "Proxy-Authorization": {"***"}, "Cookie": {"***"}, "Webhook-Signature": {"***"}, "Svix-Signature": {"***"},
		"X-Api-Key": {"***"}, "X-Auth-Token": {"***"}, "X-Client_secret": {"***"}, "X-Tenant": {"of ***"}, "X-Plain": {"kept"}, "Idempotency-Key": {"msg_1"},
	}, e.Header)
	require.Equal(t, "https://***@app.example.com/in/***?api_key=***&user=ada&sig=***&to=***", e.URL)
	require.JSONEq(t, `{"key":"***","name":"Ada"}`, e.Body)
	require.Equal(t, 35, e.BodyBytes)
	require.False(t, e.BodyCut)
	require.Equal(t, "of "+secret, r.Header.Get("X-Tenant"), "the request itself stays as it is")
}

// What a tenant sets is bounded, and can be stored.
func TestExchangeIsBounded(t *testing.T) {
	t.Parallel()
	r := newRequest(t, "https://app.example.com/"+strings.Repeat("é", 2000), "a\x00b\xff")
	for i := range 100 {
		r.Header.Set("X-"+strings.Repeat("a", i+1), strings.Repeat("ü", 4000)+"\x00\xff")
	}
	e := destination.NewMask("a secret").Exchange(r)
	require.Len(t, e.Header, 50)
	require.Equal(t, "some headers are left out", e.Note)
	require.Equal(t, "a\uFFFDb\uFFFD", e.Body)
	require.LessOrEqual(t, len(e.URL), 2<<10)
	all := fmt.Sprintf("%+v", e)
	require.NotContains(t, all, "\x00")
	require.Less(t, len(all), 40<<10)
	for _, values := range e.Header {
		require.LessOrEqual(t, len(values[0]), 500)
	}
}

func TestExchangeCutsTheBodyAtACharacter(t *testing.T) {
	t.Parallel()
	const limit = destination.MaxResponse
	for name, c := range map[string]struct {
		body string
		kept int
		cut  bool
	}{
		"Fits":         {strings.Repeat("x", limit-2) + "é", limit, false},
		"OneByteOver":  {strings.Repeat("x", limit-1) + "é", limit - 1, true},
		"FourBytes":    {strings.Repeat("x", limit-3) + "😀", limit - 3, true},
		"FarTooLong":   {strings.Repeat("é", 50_000), limit, true},
		"Nothing":      {"", 0, false},
		"OneCharacter": {"é", 2, false},
	} {
		for _, m := range []destination.Mask{{}, destination.NewMask("another secret")} {
			e := m.Exchange(newRequest(t, "https://app.example.com", c.body))
			require.Equal(t, c.body[:c.kept], e.Body, name)
			require.Equal(t, c.cut, e.BodyCut, name)
			require.Equal(t, len(c.body), e.BodyBytes, name)
		}
	}
}
