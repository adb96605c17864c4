package connlimit

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLengthsAreCountedByRequest(t *testing.T) {
	t.Parallel()
	const one = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
	const two = "POST /x HTTP/1.1\r\nContent-Length: 2\r\ncontent-LENGTH: 2\r\n\r\n{}"
	for name, tc := range map[string]struct {
		text string
		want bool
	}{
		"One":                     {one, false},
		"Two":                     {two, true},
		"OneAfterAnother":         {one + one + one, false},
		"OneAfterAnotherByLine":   {strings.Repeat(one+"\n", 3), false},
		"TwoInTheLast":            {one + two, true},
		"LengthAndEncoding":       {"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", true},
		"BareLineFeeds":           {strings.ReplaceAll(two, "\r\n", "\n"), true},
		"SpaceBeforeColon":        {"POST /x HTTP/1.1\r\nContent-Length : 2\r\nContent-Length: 2\r\n", true},
		"LongPath":                {"POST /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" + one, false},
		"ArrayBefore":             {"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]" + one, false},
		"LongBodyBefore":          {"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"a\": \"" + strings.Repeat("x", 5000) + "\"}" + one, false},
		"NoResetByAHeader":        {"POST /x HTTP/1.1\r\nContent-Length: 2\r\nX-Y: GET / HTTP/1.1\r\nContent-Length: 2\r\n", true},
		"NoResetByAHeaderOfCaps":  {"POST /x HTTP/1.1\r\nContent-Length: 2\r\nXY: HTTP/1.1\r\nContent-Length: 2\r\n", true},
		"OtherNames":              {"POST /x HTTP/1.1\r\nContent-Length: 2\r\nX-Content-Length: 2\r\nContent-Lengthy: 2\r\n", false},
		"WordsInAJSONDocument":    {one + "\n  \"content-length\": 5,\n  \"transfer-encoding\": 6\n", false},
		"MethodsAreNotOnlyPOST":   {strings.ReplaceAll(one+one, "POST", "PATCH"), false},
		"AnOlderVersion":          {strings.ReplaceAll(one+one, "1.1", "1.0"), false},
		"NothingButALineFeed":     {"\n\n\n", false},
		"TheTargetIsAWholeURL":    {strings.ReplaceAll(one+one, "/x", "http://x/y"), false},
		"ChunksBeforeTheNextHead": {"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + one, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 3, 7, len(tc.text)} { // as it may be read in pieces
				var h heads
				got := false
				for begin := 0; begin < len(tc.text); begin += size {
					got = h.look([]byte(tc.text[begin:min(begin+size, len(tc.text))]))
				}
				require.Equal(t, tc.want, got, "in pieces of %d", size)
			}
		})
	}
}

func TestEndOfARequestBeginsTheNext(t *testing.T) {
	t.Parallel()
	var h heads
	for range 3 { // bodies that are no JSON
		require.False(t, h.look([]byte("POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")))
		h.reset()
	}
}
