package sse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/provider/sse"
)

func decode(t require.TestingT, limit int, pieces ...string) ([]sse.Event, *sse.Decoder) {
	d := &sse.Decoder{Limit: limit}
	var all []sse.Event
	for _, piece := range pieces {
		events, err := d.Feed([]byte(piece))
		require.NoError(t, err)
		all = append(all, events...)
	}
	return all, d
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		events []sse.Event
	}{
		"TypeIDAndData":        {"event: user.created\nid: 7\ndata: {}\n\n", []sse.Event{{Type: "user.created", ID: "7", Data: []byte("{}")}}},
		"OneSpaceIsDropped":    {"data:a\n\ndata:  b\n\n", []sse.Event{{Data: []byte("a")}, {Data: []byte(" b")}}},
		"LinesOfData":          {"data: a\ndata: b\n\n", []sse.Event{{Data: []byte("a\nb")}}},
		"CarriageReturns":      {"data: a\r\n\r\ndata: b\r\rdata: c\n\n", []sse.Event{{Data: []byte("a")}, {Data: []byte("b")}, {Data: []byte("c")}}},
		"Comments":             {":connected\n\n: heartbeat\n\ndata: a\n: between\n\n", []sse.Event{{Data: []byte("a")}}},
		"IDWithoutData":        {"event: offset-only\nid: 9\n\n", []sse.Event{{Type: "offset-only", ID: "9"}}},
		"TypeAlone":            {"event: x\n\n", nil},
		"UnknownField":         {"color: red\ndata: a\n\n", []sse.Event{{Data: []byte("a")}}},
		"NULInID":              {"id: a\x00b\ndata: a\n\n", []sse.Event{{Data: []byte("a")}}},
		"UnfinishedIsNothing":  {"data: a\n", nil},
		"TooLong":              {"id: 5\ndata: " + strings.Repeat("x", 200) + "\n\ndata: b\n\n", []sse.Event{{ID: "5", TooLong: true}, {Data: []byte("b")}}},
		"TooLongInLines":       {strings.Repeat("data: xxxxxxxxx\n", 20) + "id: 5\n\ndata: b\n\n", []sse.Event{{ID: "5", TooLong: true}, {Data: []byte("b")}}},
		"LongIDIsNone":         {"id: " + strings.Repeat("x", 200) + "\ndata: b\n\n", []sse.Event{{TooLong: true}}},
		"CommentsAreUnbounded": {strings.Repeat(": heartbeat\n", 1000) + "data: a\n\n", []sse.Event{{Data: []byte("a")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, _ := decode(t, 100, c.stream)
			require.Equal(t, c.events, events)
			// Wherever the stream is cut, the messages are the same.
			rapid.Check(t, func(rt *rapid.T) {
				at := rapid.IntRange(0, len(c.stream)).Draw(rt, "at")
				cut, _ := decode(rt, 100, c.stream[:at], c.stream[at:])
				require.Equal(rt, c.events, cut)
			})
		})
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	_, d := decode(t, 100, "retry: 2000\n\n")
	require.Equal(t, 2*time.Second, d.Retry())
	_, d = decode(t, 100, "retry: soon\n\n")
	require.Zero(t, d.Retry())
}

func TestUnfinished(t *testing.T) {
	t.Parallel()
	for stream, unfinished := range map[string]bool{
		"": false, ": heartbeat\n": false, ": heart": true, "id: 7\n": true, "data: a\n\n": false,
	} {
		_, d := decode(t, 100, stream)
		require.Equal(t, unfinished, d.Unfinished(), stream)
	}
	_, d := decode(t, 100, "id: 7\ndata")
	require.Equal(t, "7", d.ID())
}

// A message that never ends takes no more memory than the limit, and is given up.
func TestEndless(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]string{
		"Line": strings.Repeat("x", 64), "Comment": ":" + strings.Repeat("x", 63), "Lines": "data: " + strings.Repeat("x", 57) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &sse.Decoder{Limit: 100}
			_, err := d.Feed([]byte("id: 7\n"))
			require.NoError(t, err)
			for range 1000 {
				events, err := d.Feed([]byte(piece))
				require.Empty(t, events)
				if err != nil {
					require.ErrorIs(t, err, sse.ErrEndless)
					require.Equal(t, "7", d.ID())
					return
				}
			}
			require.Fail(t, "it is waited for")
		})
	}
}

func FuzzFeed(f *testing.F) {
	f.Add([]byte("id: 7\r\ndata: a\n\n:x\rretry: 1\n\n"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, at int) {
		at = max(0, min(at, len(stream)))
		d := &sse.Decoder{Limit: 16}
		for _, piece := range [][]byte{stream[:at], stream[at:]} {
			events, err := d.Feed(piece)
			for _, e := range events {
				require.LessOrEqual(t, len(e.Data), 16)
			}
			if err != nil {
				return
			}
		}
	})
}
