package keyset_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/keyset"
)

// point is a new key on P-256, as a set has it.
func point(t *testing.T, id string) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	text, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	return map[string]string{
		"kty": "EC", "crv": "P-256", "kid": id, "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(text[1:33]), "y": base64.RawURLEncoding.EncodeToString(text[33:]),
	}
}

func setOf(t *testing.T, keys ...map[string]string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	return text
}

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body)}
}

// pass lets time pass in a bubble of synctest, where nothing waits.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // see above
}

const address = "https://keys.example.com/jwks"

func cache(f roundTrip) provider.PublicKeys { return shared(f).Of(uuid.New()) }

func shared(f roundTrip) *keyset.Cache {
	return keyset.New(keyset.Config{Client: &http.Client{Transport: f}, Log: slog.New(slog.DiscardHandler)})
}

func TestASetIsFetchedOnceAndKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		text := setOf(t, point(t, "a"), point(t, "b"))
		c := cache(func(*http.Request) (*http.Response, error) {
			requests.Add(1)
			pass(time.Second)
			return answer(http.StatusOK, strings.NewReader(string(text))), nil
		})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				keys, err := c.Find(address, "a")
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Equal(t, "a", keys[0].ID)
			})
		}
		all.Wait()
		require.EqualValues(t, 1, requests.Load())
		keys, err := c.Find(address, "")
		require.NoError(t, err)
		require.Len(t, keys, 2)
		pass(2 * time.Hour)
		_, err = c.Find(address, "a")
		require.NoError(t, err)
		require.EqualValues(t, 2, requests.Load(), "an old set is fetched again")
	})
}

// However many requests come with ids that nobody has, the address is asked once a minute.
func TestUnknownIDsAreAskedForAtALimitedRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		keys := []map[string]string{point(t, "a")}
		c := cache(func(*http.Request) (*http.Response, error) {
			requests.Add(1)
			return answer(http.StatusOK, strings.NewReader(string(setOf(t, keys...)))), nil
		})
		_, err := c.Find(address, "a")
		require.NoError(t, err)
		for i := range 1000 {
			_, err := c.Find(address, "flood-"+string(rune('a'+i%26)))
			require.ErrorIs(t, err, provider.ErrKeysUnavailable, "nothing is known of it yet")
		}
		require.EqualValues(t, 1, requests.Load())

		pass(time.Minute)
		keys = append(keys, point(t, "new"))
		found, err := c.Find(address, "new")
		require.NoError(t, err)
		require.Len(t, found, 1, "a provider that changes its key is heard")
		pass(time.Minute)
		found, err = c.Find(address, "flood")
		require.NoError(t, err)
		require.Empty(t, found, "now it is certain")
		require.EqualValues(t, 3, requests.Load())
	})
}

func TestAnAddressThatNeverAnswersCostsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int64
		c := cache(func(r *http.Request) (*http.Response, error) {
			requests.Add(1)
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})
		begun := time.Now()
		for range 100 {
			_, err := c.Find(address, "a")
			require.ErrorIs(t, err, provider.ErrKeysUnavailable)
			require.NotContains(t, err.Error(), "/jwks", "a path may hold a secret")
		}
		require.Equal(t, 3*time.Second, time.Since(begun), "the first waits, the others do not")
		require.EqualValues(t, 1, requests.Load())
		pass(time.Hour)
		for range 100 {
			_, _ = c.Find(address, "a")
			pass(time.Minute)
		}
		require.Less(t, requests.Load(), int64(30), "the pauses grow")
	})
}

// A set that was fetched stays in use while its address is down, for a day.
func TestAnOldSetOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text, down := setOf(t, point(t, "a")), false
		c := cache(func(*http.Request) (*http.Response, error) {
			if down {
				return answer(http.StatusBadGateway, strings.NewReader("")), nil
			}
			return answer(http.StatusOK, strings.NewReader(string(text))), nil
		})
		_, err := c.Find(address, "a")
		require.NoError(t, err)
		down = true
		pass(23 * time.Hour)
		found, err := c.Find(address, "a")
		require.NoError(t, err)
		require.Len(t, found, 1)
		pass(2 * time.Hour)
		_, err = c.Find(address, "a")
		require.ErrorIs(t, err, provider.ErrKeysUnavailable)
	})
}

// endless is a body without end, and counts what is read of it.
type endless struct{ read *atomic.Int64 }

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func TestAHugeAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	c := cache(func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, endless{&read}), nil })
	_, err := c.Find(address, "a")
	require.ErrorIs(t, err, provider.ErrKeysUnavailable)
	require.Less(t, read.Load(), int64(1<<20))
}

func TestAnAddressIsNotLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	c := keyset.New(keyset.Config{
		Client: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })},
		Log:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	_, err := c.Of(uuid.New()).Find(address+"?token=hidden", "a")
	require.ErrorIs(t, err, provider.ErrKeysUnavailable)
	require.Contains(t, log.String(), "unexpected EOF")
	require.Contains(t, log.String(), "keys.example.com")
	require.NotContains(t, log.String()+err.Error(), "hidden")
}

// Addresses that hang, however many a project has, leave the other projects their keys.
func TestAProjectHasAShareOfTheFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hanging atomic.Int64
		c := shared(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.String(), address) {
				hanging.Add(1)
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return answer(http.StatusOK, strings.NewReader(string(setOf(t, point(t, "a"))))), nil
		})
		hostile := c.Of(uuid.New())
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				_, err := hostile.Find(address+strings.Repeat("x", i), "a")
				require.ErrorIs(t, err, provider.ErrKeysUnavailable)
			})
		}
		synctest.Wait()
		require.EqualValues(t, 4, hanging.Load())
		keys, err := c.Of(uuid.New()).Find("https://good.example.com/jwks", "a")
		require.NoError(t, err)
		require.Len(t, keys, 1)
		all.Wait()
		pass(time.Minute)
		_, err = hostile.Find("https://other.example.com/jwks", "a")
		require.NoError(t, err, "the share is free again")
	})
}

func TestFetchesAreLimitedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		c := shared(func(r *http.Request) (*http.Response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})
		var all sync.WaitGroup
		begun := time.Now()
		for i := range 500 {
			all.Go(func() {
				_, err := c.Of(uuid.New()).Find(address+strings.Repeat("x", i), "a")
				require.ErrorIs(t, err, provider.ErrKeysUnavailable)
			})
		}
		all.Wait()
		require.EqualValues(t, 64, most.Load())
		require.Equal(t, 3*time.Second, time.Since(begun))
	})
}

func TestTheGuardDecidesWhereRequestsGo(t *testing.T) {
	t.Parallel()
	asked := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(server.Close)
	client := egress.New(egress.Config{}).Client(time.Minute)
	c := keyset.New(keyset.Config{Client: client, Log: slog.New(slog.DiscardHandler)})
	_, err := c.Of(uuid.New()).Find(server.URL, "a")
	require.ErrorIs(t, err, provider.ErrKeysUnavailable)
	require.False(t, asked)
}

func TestParseLeavesOutWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	off := point(t, "off")
	off["y"] = off["x"]
	encryption := point(t, "encryption")
	encryption["use"] = "enc"
	weak := base64.RawURLEncoding.EncodeToString(append([]byte{0xc1}, make([]byte, 127)...))
	for name, key := range map[string]map[string]string{
		"Symmetric": {"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256"}, "OffTheCurve": off, "Encryption": encryption,
		"WeakRSA": {"kty": "RSA", "n": weak, "e": "AQAB"}, "NoModulus": {"kty": "RSA", "e": "AQAB"},
		"Curve": {"kty": "EC", "crv": "P-224", "x": "AA", "y": "AA"}, "X25519": {"kty": "OKP", "crv": "X25519", "x": encryption["x"]},
		"LongID":       point(t, strings.Repeat("k", 257)),
		"ShortEd25519": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, "Unknown": {"kty": "new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, err := keyset.Parse(setOf(t, key, point(t, "good")))
			require.NoError(t, err)
			require.Len(t, keys, 1)
			require.Equal(t, "good", keys[0].ID)
		})
	}
	for _, text := range []string{"", "[]", "{}", `{"keys": 1}`, "<html>", `{"keys":[` + strings.Repeat("{},", 50) + `{}]}`} {
		_, err := keyset.Parse([]byte(text))
		require.Error(t, err, text)
	}
}
