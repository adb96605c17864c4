package payload

import (
	"strings"
	"time"
)

// parseText parses a textual time. Senders print what their language or database prints; each form
// is here because one of these uses it:
//
//	2026-03-04T05:06:07.089Z                JavaScript's toISOString, Go, Auth0, Better Auth
//	2026-03-04T05:06:07.089+00:00           Python's isoformat, PostgreSQL's row_to_json, Rails
//	2026-03-04T05:06:07.089+0000            Java's Jackson, Ruby's and Python's %z
//	2026-03-04T05:06:07,089Z                ISO 8601 and logging libraries: a comma
//	2026-03-04T05:06Z                       Java's OffsetDateTime leaves out seconds of 0
//	2026-03-04T05:06:07Z[UTC]               Java's ZonedDateTime, JavaScript's Temporal
//	20260304T050607Z                        ISO 8601's basic form
//	2026-03-04T05:06:07.089                 no zone: .NET, Java's LocalDateTime, Python
//	2026-03-04 05:06:07                     no zone: MySQL, SQLite, PostgreSQL's timestamp
//	2026-03-04 05:06:07.089+00              PostgreSQL's timestamptz
//	2026-03-04 05:06:07 UTC                 Ruby, BigQuery
//	2026-03-04 05:06:07.089 +0000 UTC       Go's String, also followed by m=+0.1
//	Wed, 04 Mar 2026 05:06:07 GMT           HTTP, JavaScript's toUTCString, e-mail (also +0000)
//	Wed Mar 04 2026 05:06:07 GMT+0000 (UTC) JavaScript's toString
//	Wed Mar  4 05:06:07 2026                C's asctime; with UTC before the year: date
//
// Without a zone it is UTC, as databases and their drivers store it. Abbreviations such as CET are
// refused, because they are ambiguous.
func parseText(text string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, true
	}
	text = strings.TrimSpace(text)
	if len(text) < len("20060102T1504") {
		return time.Time{}, false
	}
	if '0' <= text[0] && text[0] <= '9' {
		return parseNumeric(text)
	}
	return parseNamed(text)
}

// parseNumeric parses forms that begin with the year, by converting them to RFC 3339.
func parseNumeric(text string) (time.Time, bool) {
	if text[4] != '-' {
		text = extend(text)
	}
	if len(text) < len("2006-01-02T15:04") || !strings.ContainsRune("Tt ", rune(text[10])) {
		return time.Time{}, false
	}
	date, rest := text[:10], strings.TrimLeft(text[11:], " ")
	end := strings.IndexFunc(rest, func(r rune) bool { return !strings.ContainsRune("0123456789:.,", r) })
	if end < 0 {
		end = len(rest)
	}
	clock := strings.ReplaceAll(rest[:end], ",", ".")
	if len(clock) == len("15:04") {
		clock += ":00"
	}
	zone, ok := parseZone(rest[end:])
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, date+"T"+clock+zone)
	return t, err == nil
}

// extend converts ISO 8601's basic form to the extended form.
func extend(text string) string {
	date, clock := text[:8], text[9:]
	if text[8] != 'T' && text[8] != 't' || len(clock) < 4 {
		return text
	}
	text = date[:4] + "-" + date[4:6] + "-" + date[6:] + "T" + clock[:2] + ":" + clock[2:4]
	if clock = clock[4:]; len(clock) >= 2 && '0' <= clock[0] && clock[0] <= '9' {
		text += ":"
	}
	return text + clock
}

// parseZone parses what follows the time of day and formats it as RFC 3339 does.
func parseZone(text string) (zone string, ok bool) {
	if at := strings.IndexByte(text, '['); at > 0 && strings.HasSuffix(text, "]") {
		text = text[:at] // the zone's name after its offset
	}
	text, _, _ = strings.Cut(text, " m=") // Go's monotonic clock
	fields := strings.Fields(strings.ToUpper(text))
	switch {
	case len(fields) == 0:
		return "Z", true
	case len(fields) == 2 && isAbbreviation(fields[1]) && strings.ContainsAny(fields[0][:1], "+-"):
	case len(fields) > 1:
		return "", false
	}
	offset := fields[0]
	switch offset {
	case "Z", "UTC", "GMT", "UT":
		return "Z", true
	}
	for _, name := range []string{"UTC", "GMT"} {
		offset = strings.TrimPrefix(offset, name)
	}
	if !strings.ContainsAny(offset[:1], "+-") {
		return "", false
	}
	switch digits := offset[1:]; len(digits) {
	case len("07"):
		return offset + ":00", true
	case len("0700"):
		return offset[:3] + ":" + offset[3:], true
	default:
		return offset, true // time.Parse validates it
	}
}

func isAbbreviation(text string) bool {
	return text != "" && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// parseNamed parses forms that begin with the name of a day.
func parseNamed(text string) (time.Time, bool) {
	if at := strings.IndexByte(text, '('); at > 0 {
		text = strings.TrimSpace(text[:at]) // the zone's name after its offset
	}
	for _, layout := range [...]string{
		"Mon, _2 Jan 2006 15:04:05 -0700",
		"Mon, _2 Jan 2006 15:04:05 GMT",
		"Mon, _2 Jan 2006 15:04:05 UTC",
		"Monday, 02-Jan-06 15:04:05 GMT",
		"Mon Jan _2 2006 15:04:05 GMT-0700",
		"Mon Jan _2 15:04:05 2006",
		"Mon Jan _2 15:04:05 UTC 2006",
		"Mon Jan _2 15:04:05 GMT 2006",
		"Mon Jan _2 15:04:05 -0700 2006",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
