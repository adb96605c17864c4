package standardwebhooks_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// vector is a signature that is published with its secret.
type vector struct {
	secret, id, timestamp, body, signature string
	at                                     time.Time
}

// vectors are those of the Svix and Standard Webhooks test suites and of the Svix documentation.
func vectors() []vector {
	return []vector{
		{
			"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330",
			`{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", time.Unix(1614265330, 0),
		},
		{
			"whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", "1731705121",
			`{"event_type":"ping","data":{"success":true}}`, "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=", time.Unix(1731705121, 0),
		},
		{
			"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553",
			`{"email":"test@example.com","username":"test_user"}`, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", time.Unix(1649367553, 0),
		},
	}
}

func (v vector) key(t *testing.T) []byte {
	t.Helper()
	key, err := standardwebhooks.ParseSecret(v.secret)
	require.NoError(t, err)
	return key
}

func (v vector) keys(t *testing.T) []standardwebhooks.Key {
	t.Helper()
	key, err := standardwebhooks.NewKey(v.key(t), 1)
	require.NoError(t, err)
	return []standardwebhooks.Key{key}
}

func (v vector) header(set standardwebhooks.Set) http.Header {
	h := http.Header{}
	h.Set(string(set)+"-Id", v.id)
	h.Set(string(set)+"-Timestamp", v.timestamp)
	h.Set(string(set)+"-Signature", v.signature)
	return h
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors() {
		for _, set := range []standardwebhooks.Set{standardwebhooks.Svix, standardwebhooks.Standard} {
			id, position, err := standardwebhooks.Verify(v.keys(t), set, v.header(set), []byte(v.body), v.at)
			require.NoError(t, err)
			require.Equal(t, v.id, id)
			require.Equal(t, "1", position)
			header, err := standardwebhooks.Sign(v.key(t), set, v.id, v.at, []byte(v.body))
			require.NoError(t, err)
			require.Equal(t, v.header(set), header)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	v := vectors()[0]
	const asymmetric = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	const wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	signature := func(value string) func(http.Header) { return set("Svix-Signature", value) }
	for name, c := range map[string]struct {
		change func(http.Header)
		now    time.Time
		want   error
	}{
		"OtherSignature":              {signature(wrong), v.at, provider.ErrNoMatch},
		"VersionWithoutSignature":     {signature("v1,"), v.at, provider.ErrNoMatch},
		"VersionAlone":                {signature("v1"), v.at, provider.ErrNoMatch},
		"FirstEightCharacters":        {signature("v1,g0hM9SsE"), v.at, provider.ErrNoMatch},
		"SignatureWithoutVersion":     {signature(v.signature[3:]), v.at, provider.ErrNoMatch},
		"OtherVersionOnly":            {signature("v2" + v.signature[2:]), v.at, provider.ErrNoMatch},
		"AsymmetricOnly":              {signature(asymmetric), v.at, provider.ErrNoMatch},
		"OneOfSeveral":                {signature(wrong + " " + asymmetric + " " + v.signature), v.at, nil},
		"SixteenthOfSixteen":          {signature(strings.Repeat(wrong+" ", 15) + v.signature), v.at, nil},
		"SeventeenthOfSeventeen":      {signature(strings.Repeat(wrong+" ", 16) + v.signature), v.at, provider.ErrMalformed},
		"JoinedWithCommaAndSpace":     {signature(wrong + ", " + v.signature + ","), v.at, nil},
		"SpaceAround":                 {signature("  " + v.signature + "\t"), v.at, nil},
		"TooLongSignature":            {signature(v.signature + " v1," + strings.Repeat("a", 5000)), v.at, provider.ErrMalformed},
		"SignatureMissing":            {signature(""), v.at, provider.ErrMissingSignature},
		"SignatureBlank":              {signature(" \t"), v.at, provider.ErrMissingSignature},
		"IDMissing":                   {set("Svix-Id", ""), v.at, provider.ErrMissingSignature},
		"IDWithDot":                   {set("Svix-Id", "msg_p5j.XN8A"), v.at, provider.ErrMalformed},
		"IDWithSpace":                 {set("Svix-Id", "msg p5j"), v.at, provider.ErrMalformed},
		"IDBeyondASCII":               {set("Svix-Id", "msg_é"), v.at, provider.ErrMalformed},
		"IDTooLong":                   {set("Svix-Id", strings.Repeat("m", 257)), v.at, provider.ErrMalformed},
		"OtherID":                     {set("Svix-Id", "msg_other"), v.at, provider.ErrNoMatch},
		"TimestampMissing":            {set("Svix-Timestamp", " "), v.at, provider.ErrMissingSignature},
		"TimestampWithLeadingZero":    {set("Svix-Timestamp", "01614265330"), v.at, provider.ErrMalformed},
		"TimestampWithPlus":           {set("Svix-Timestamp", "+1614265330"), v.at, provider.ErrMalformed},
		"TimestampWithMinus":          {set("Svix-Timestamp", "-1614265330"), v.at, provider.ErrMalformed},
		"TimestampWithFraction":       {set("Svix-Timestamp", "1614265330.5"), v.at, provider.ErrMalformed},
		"TimestampInWords":            {set("Svix-Timestamp", "now"), v.at, provider.ErrMalformed},
		"TimestampOfManyDigits":       {set("Svix-Timestamp", strings.Repeat("9", 30)), v.at, provider.ErrMalformed},
		"OtherTimestamp":              {set("Svix-Timestamp", "1614265331"), v.at, provider.ErrNoMatch},
		"FiveMinutesOld":              {nil, v.at.Add(300 * time.Second), nil},
		"FiveMinutesAndAMomentOld":    {nil, v.at.Add(300*time.Second + 1), provider.ErrTooOld},
		"FiveMinutesAhead":            {nil, v.at.Add(-300 * time.Second), nil},
		"FiveMinutesAndASecondAhead":  {nil, v.at.Add(-301 * time.Second), provider.ErrTooNew},
		"OtherSetDoesNotFillTheGap":   {func(h http.Header) { h.Del("Svix-Signature"); h.Set("Webhook-Signature", v.signature) }, v.at, provider.ErrMissingSignature},
		"WholeOtherSetDoesNotStandIn": {replayWithFreshTimestamp(v), v.at.Add(time.Hour), provider.ErrMissingSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := v.header(standardwebhooks.Svix)
			if c.change != nil {
				c.change(h)
			}
			_, _, err := standardwebhooks.Verify(v.keys(t), standardwebhooks.Svix, h, []byte(v.body), c.now)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// replayWithFreshTimestamp is a captured webhook-* triple beside a fresh
// svix-timestamp: the svix library falls back to the triple.
func replayWithFreshTimestamp(v vector) func(http.Header) {
	return func(h http.Header) {
		maps.Copy(h, v.header(standardwebhooks.Standard))
		h.Set("Svix-Timestamp", "1614268930")
		h.Del("Svix-Signature")
	}
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
		"v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	} {
		key, err := standardwebhooks.ParseSecret(secret)
		require.NoError(t, err)
		require.Equal(t, vectors()[0].key(t), key)
	}
	padded, err := standardwebhooks.ParseSecret("whsec_YWJjZA==")
	require.NoError(t, err)
	unpadded, err := standardwebhooks.ParseSecret("whsec_YWJjZA")
	require.NoError(t, err)
	require.Equal(t, padded, unpadded)
	require.Equal(t, "abcd", string(padded))
}

func TestEmptyKeyIsRefused(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "whsec_", "v1,whsec_", "whsec_====", " "} {
		_, err := standardwebhooks.ParseSecret(secret)
		require.Error(t, err, secret)
	}
	_, err := standardwebhooks.NewKey(nil, 1)
	require.Error(t, err)
	_, err = standardwebhooks.Sign(nil, standardwebhooks.Svix, "msg_1", time.Unix(1, 0), nil)
	require.Error(t, err)
}

func TestSignRefusesAnIDThatVerifyRefuses(t *testing.T) {
	t.Parallel()
	_, err := standardwebhooks.Sign([]byte("key"), standardwebhooks.Svix, "a.b", time.Unix(1, 0), nil)
	require.ErrorIs(t, err, provider.ErrMalformed)
}

func FuzzVerify(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.id, v.timestamp, v.signature, []byte(v.body))
	}
	f.Add("a.b", "0", "v1, v1", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		v := vectors()[0]
		h := http.Header{"Svix-Id": {id}, "Svix-Timestamp": {timestamp}, "Svix-Signature": {signature}}
		got, _, err := standardwebhooks.Verify(v.keys(t), standardwebhooks.Svix, h, body, v.at)
		if err != nil {
			require.Empty(t, got)
			return
		}
		// What passes carries the one signature there is for this id, time and body.
		require.Equal(t, strings.TrimSpace(id), got)
		require.NotContains(t, got, ".")
		header, err := standardwebhooks.Sign(v.key(t), standardwebhooks.Svix, got, v.at, body)
		require.NoError(t, err)
		if strings.TrimSpace(timestamp) == v.timestamp {
			require.Contains(t, signature, header.Get("Svix-Signature"))
		}
	})
}
