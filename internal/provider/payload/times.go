package payload

import (
	"math"
	"strconv"
	"time"
)

// secondsBelow is where a number stops being seconds since 1970 and begins
// being milliseconds: 1e11 is the year 5138 in seconds and 1973 in
// milliseconds. Clerk's published examples have seconds where its deliveries
// have milliseconds.
const secondsBelow = 1e11

// Time is an instant read from a payload, in UTC and cut to microseconds, which
// is what PostgreSQL keeps.
type Time struct {
	time.Time
	// WholeSeconds: it was a number of seconds, so up to a second is missing.
	WholeSeconds bool
}

// ParseTime reads an instant: RFC 3339 (also with a space for the T and with a
// zone of hours only, as PostgreSQL prints it), a number of milliseconds or
// seconds since 1970 (also as a text), or an object {"$date": …} of either. It
// reports false for everything else, for years outside 1 to 9999, which RFC 3339
// and timestamptz do not both hold, and for the first instant of the year 1,
// which some libraries send for "never".
func ParseTime(v Value) (Time, bool) {
	switch {
	case v.IsText():
		text, flaws := v.Text()
		if flaws > 0 {
			return Time{}, false
		}
		for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07"} {
			if t, err := time.Parse(layout, text); err == nil {
				return inRange(t, false)
			}
		}
		return parseEpoch(text)
	case v.IsNumber():
		return parseEpoch(string(v))
	case v.IsObject():
		if date := v.Member("$date"); date.IsText() || date.IsNumber() {
			return ParseTime(date)
		}
	}
	return Time{}, false
}

func parseEpoch(text string) (Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n > -secondsBelow && n < secondsBelow {
			return inRange(time.Unix(n, 0), true)
		}
		return inRange(time.UnixMilli(n), false)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) >= 1e15 {
		return Time{}, false
	}
	if math.Abs(f) < secondsBelow {
		return inRange(time.UnixMicro(int64(math.Floor(f*1e6))), f == math.Floor(f))
	}
	return inRange(time.UnixMicro(int64(math.Floor(f*1e3))), false)
}

func inRange(t time.Time, wholeSeconds bool) (Time, bool) {
	t = t.UTC().Truncate(time.Microsecond)
	if year := t.Year(); year < 1 || year > 9999 || t.IsZero() {
		return Time{}, false
	}
	return Time{t, wholeSeconds}, true
}

// Format prints an instant as it stands in provider.Says.
func Format(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

// clockTolerance is how far ahead of the time of receipt a provider's clock may
// be: servers that are kept by NTP differ by far less than a second, badly kept
// ones by seconds. A clock further ahead is a mistake or an attack, and would
// make its values win against every later event until that time comes.
const clockTolerance = time.Minute

// Cap returns a clock that does not lie in the future: one later than the time
// of receipt plus a minute becomes the time of receipt, and capped is true.
func Cap(t, receivedAt time.Time) (clock time.Time, capped bool) {
	if t.After(receivedAt.Add(clockTolerance)) {
		return receivedAt, true
	}
	return t, false
}

// Receipt is a delivery's time of receipt as a clock.
func Receipt(receivedAt time.Time) time.Time {
	return receivedAt.UTC().Truncate(time.Microsecond)
}
