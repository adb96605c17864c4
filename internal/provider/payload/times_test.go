package payload_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/provider/payload"
)

// forms are the texts that senders print instants in, as layouts, with what of a second they keep.
func forms() map[string]time.Duration {
	const ms, us, second, minute = time.Millisecond, time.Microsecond, time.Second, time.Minute
	return map[string]time.Duration{
		"2006-01-02T15:04:05.000Z07:00":                     ms, // JavaScript, Auth0, Better Auth
		"2006-01-02T15:04:05.000000-07:00":                  us, // PostgreSQL's row_to_json, Python
		"2006-01-02T15:04:05Z07:00":                         second,
		"2006-01-02T15:04:05.000-0700":                      ms, // Jackson
		"2006-01-02T15:04:05-0700":                          second,
		"2006-01-02T15:04:05.000000000Z0700":                us,
		"2006-01-02T15:04:05,000-07:00":                     ms,
		"2006-01-02T15:04Z07:00":                            minute, // java.time
		"2006-01-02T15:04:05.000Z07:00[Etc/UTC]":            ms,
		"20060102T150405Z0700":                              second,
		"20060102T150405.000-0700":                          ms,
		"2006-01-02 15:04:05.000000-07":                     us, // PostgreSQL
		"2006-01-02 15:04:05-07:00":                         second,
		"2006-01-02 15:04:05 -0700":                         second, // Ruby
		"2006-01-02 15:04:05.000000000 -0700 MST":           us,     // Go
		"2006-01-02 15:04:05.000000 -0700 MST m=+12.000001": us,
		"Mon, 02 Jan 2006 15:04:05 -0700":                   second,
		"Mon, 2 Jan 2006 15:04:05 -0700":                    second,
		"Mon Jan 02 2006 15:04:05 GMT-0700 (Some Place)":    second, // JavaScript
		"Mon Jan 2 15:04:05 -0700 2006":                     second,
	}
}

// formsInUTC cannot say another zone.
func formsInUTC() map[string]time.Duration {
	const ms, us, second, minute = time.Millisecond, time.Microsecond, time.Second, time.Minute
	return map[string]time.Duration{
		"2006-01-02 15:04:05 UTC":             second, // Ruby, BigQuery
		"2006-01-02 15:04:05.000000 UTC":      us,
		"2006-01-02 15:04:05 GMT":             second,
		"2006-01-02T15:04:05.000 UTC":         ms,
		"2006-01-02t15:04:05z":                second,
		"2006-01-02T15:04:05.0000000":         us,     // .NET
		"2006-01-02T15:04":                    minute, // LocalDateTime
		"2006-01-02 15:04:05":                 second, // MySQL, SQLite
		"2006-01-02 15:04:05.000000":          us,     // PostgreSQL's timestamp, MySQL's datetime(6)
		" 2006-01-02 15:04:05\n":              second,
		"20060102T150405":                     second,
		"2006-01-02T15:04:05+00":              second,
		"2006-01-02T15:04:05Z[UTC]":           second,
		"Mon, 02 Jan 2006 15:04:05 GMT":       second, // HTTP
		"Monday, 02-Jan-06 15:04:05 GMT":      second,
		"Mon Jan _2 15:04:05 2006":            second, // asctime
		"Mon Jan _2 15:04:05 UTC 2006":        second, // date
		"Mon Jan 02 2006 15:04:05 GMT+0000":   second,
		"Mon Jan 02 2006 15:04:05 GMT-0000 (": second,
	}
}

func textOf(t require.TestingT, text string) payload.Value {
	doc, err := json.Marshal(text)
	require.NoError(t, err)
	return payload.Value(doc)
}

// Any instant is read from every form that senders print it in.
func TestEveryFormOfAnInstantIsRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		at := time.UnixMicro(rapid.Int64Range(0, 2_900_000_000_000_000).Draw(rt, "at")).UTC() // two digits of a year are 1969 to 2068
		zone := time.FixedZone("XYZ", 1800*rapid.IntRange(-24, 28).Draw(rt, "zone"))
		read := func(layout, text string, precision time.Duration) {
			got, ok := payload.ParseTime(textOf(rt, text))
			require.True(rt, ok, "%q as %s", text, layout)
			require.Equal(rt, at.Truncate(precision), got.Time, "%q as %s", text, layout)
		}
		for layout, precision := range forms() {
			in := at.In(zone)
			if strings.Contains(layout, "-07") && !strings.Contains(layout, "-0700") && !strings.Contains(layout, "-07:00") {
				in = at.In(time.FixedZone("", 3600*rapid.IntRange(-12, 14).Draw(rt, "hours"))) // it prints no minutes
			}
			read(layout, in.Format(layout), precision)
		}
		for layout, precision := range formsInUTC() {
			read(layout, at.Format(layout), precision)
		}
	})
}

func TestWhatIsNoInstantIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"2026-05-04T10:20:30 CET", "2026-05-04 10:20:30 +0100 +0100", "2026-05-04 10:20:30 EST5EDT", "2026-05-04T10:20:30+1", "2026-05-04T10:20:30+",
		"2026-05-04T10:20:30UTC+", "2026-05-04T25:20:30Z", "2026-05-04T10:60:30Z", "2026-05-04X10:20:30Z", "2026-05-04T10:20:30.", "2026-05-04T10:20:30..5Z",
		"2026-05-04T10Z", "2026/05/04 10:20:30", "04.05.2026 10:20:30", "05/04/2026, 10:20:30 AM", "20260504 102030", "20261304T102030Z",
		"Wed, 04 Mar 2026 05:06:07 PST", "Wed Mar 4 05:06:07 CET 2026", "Wed Mar 04 2026", "Wed", "(", "Z", "[", "2026-05-04T10:20:30[UTC", "yesterday at ten",
		"0000-00-00 00:00:00", "-infinity", "2026-05-04T10:20:30Z extra words",
	} {
		_, ok := payload.ParseTime(textOf(t, text))
		require.False(t, ok, text)
	}
}

func FuzzParseTime(f *testing.F) {
	for layout := range forms() {
		f.Add(received().Format(layout))
	}
	for layout := range formsInUTC() {
		f.Add(received().Format(layout))
	}
	f.Add(`{"$date":{"$numberLong":"-1"}}`)
	f.Add(`{"seconds":1777890030,"nanos":999999999}`)
	f.Add("-1777890030123.5e0")
	f.Fuzz(func(t *testing.T, text string) {
		docs := []payload.Value{textOf(t, text)}
		if json.Valid([]byte(text)) {
			docs = append(docs, payload.Value(strings.TrimSpace(text)))
		}
		for _, doc := range docs {
			got, ok := payload.ParseTime(doc)
			if !ok {
				require.Zero(t, got)
				continue
			}
			require.True(t, got.Year() >= 1 && got.Year() <= 9999, "%s", got)
			require.Equal(t, got.Truncate(time.Microsecond), got.Time)
			again, ok := payload.ParseTime(textOf(t, payload.Format(got.Time)))
			require.True(t, ok)
			require.Equal(t, got.Time, again.Time, "what is printed reads as the same")
		}
	})
}
