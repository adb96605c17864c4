package payload

import (
	"math"
	"strconv"
	"time"
)

// The size of a Unix timestamp determines its unit. Below secondsBelow it is in seconds: 1e11 is
// the year 5138 in seconds and 1973 in milliseconds. Clerk's published examples use seconds, its
// real messages milliseconds. From microsecondsFrom on it is in microseconds: 1e15 is 2001 in them.
// The milliseconds in between end with the year 9999.
const (
	secondsBelow     = 1e11
	microsecondsFrom = 1e15
)

// Time is a time read from a payload, in UTC and truncated to microseconds, which is PostgreSQL's
// resolution.
type Time struct {
	time.Time
	// WholeSeconds reports that it was a number of seconds, so up to a second is missing.
	WholeSeconds bool
	// Unreadable reports that the value is not a time; Time is zero.
	Unreadable bool
}

// ParseTime parses a time: a text in one of the forms of parseText; a number of seconds,
// milliseconds or microseconds since 1970, also as a text; an object {"$date": …} of either, as
// MongoDB's drivers print; or one of seconds and nanoseconds, as Firestore and Protocol Buffers do.
// It reports false for everything else, for years outside 1 to 9999, which RFC 3339 and timestamptz
// do not both support, and for the first instant of the year 1, which some libraries send for
// "never".
func ParseTime(v Value) (Time, bool) {
	switch {
	case v.IsText():
		text, flaws := v.Text()
		if flaws > 0 {
			return Time{}, false
		}
		if t, ok := parseText(text); ok {
			return inRange(t, false)
		}
		return parseEpoch(text)
	case v.IsNumber():
		return parseEpoch(string(v))
	case v.IsObject():
		return parseTimeObject(v)
	}
	return Time{}, false
}

func parseTimeObject(v Value) (Time, bool) {
	if date := v.Member("$date"); !date.IsAbsent() {
		if date.IsObject() {
			date = date.Member("$numberLong")
		}
		if date.IsText() || date.IsNumber() {
			return ParseTime(date)
		}
		return Time{}, false
	}
	seconds, nanoseconds := int64(0), int64(0)
	for key, value := range v.Members() {
		n, err := strconv.ParseInt(scalar(value), 10, 64)
		switch string(key) {
		case "seconds", "_seconds":
			seconds = n
		case "nanos", "nanoseconds", "_nanoseconds":
			nanoseconds = n
		default:
			return Time{}, false
		}
		if err != nil {
			return Time{}, false
		}
	}
	if seconds <= -secondsBelow || seconds >= secondsBelow || seconds == 0 {
		return Time{}, false
	}
	return inRange(time.Unix(seconds, nanoseconds), false)
}

// scalar returns the text of a number or string.
func scalar(v Value) string {
	if v.IsText() {
		text, _ := v.Text()
		return text
	}
	return string(v)
}

func parseEpoch(text string) (Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch {
		case n > -secondsBelow && n < secondsBelow:
			return inRange(time.Unix(n, 0), true)
		case n > -microsecondsFrom && n < microsecondsFrom:
			return inRange(time.UnixMilli(n), false)
		default:
			return inRange(time.UnixMicro(n), false)
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	switch size := math.Abs(f); {
	case err != nil || math.IsNaN(f) || size >= math.MaxInt64:
		return Time{}, false
	case size < secondsBelow:
		return inRange(time.UnixMicro(int64(math.Floor(f*1e6))), f == math.Floor(f))
	case size < microsecondsFrom:
		return inRange(time.UnixMicro(int64(math.Floor(f*1e3))), false)
	default:
		return inRange(time.UnixMicro(int64(math.Floor(f))), false)
	}
}

func inRange(t time.Time, wholeSeconds bool) (Time, bool) {
	t = t.UTC().Truncate(time.Microsecond)
	if year := t.Year(); year < 1 || year > 9999 || t.IsZero() {
		return Time{}, false
	}
	return Time{Time: t, WholeSeconds: wholeSeconds}, true
}

// Format formats a time for provider.Fields.
func Format(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

// clockTolerance is how far a provider's clock may be ahead of the time of receipt: NTP keeps
// servers within far less than a second, poorly kept ones are off by seconds. A clock further ahead
// is a mistake or an attack, whose values would win over every later event until that time.
// capydb_auth.merge_unclocked relies on at most a minute.
const clockTolerance = time.Minute

// isAhead reports whether a clock is not credible: more than a minute after the time of receipt.
func isAhead(t, receivedAt time.Time) bool { return t.After(receivedAt.Add(clockTolerance)) }

// Receipt returns a message's time of receipt as a clock.
func Receipt(receivedAt time.Time) time.Time {
	return receivedAt.UTC().Truncate(time.Microsecond)
}
