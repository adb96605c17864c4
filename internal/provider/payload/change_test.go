package payload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

func received() time.Time { return time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC) }

func users() payload.Mapping {
	return payload.Mapping{Type: record.User, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.Email, Path: "email"},
		{Field: payload.FirstName, Path: "first"},
		{Field: payload.LastName, Path: "last"},
		{Field: payload.FullName, Path: "name"},
		{Field: payload.CreatedAt, Path: "created"},
		{Field: payload.UpdatedAt, Path: "updated"},
		{Field: payload.LastSignInAt, Path: "seen"},
		{Field: payload.DeletedAt, Path: "deleted"},
	}}
}

// apply makes a change of a user object and an envelope's time, "" for none.
func apply(t *testing.T, object, sentAt string, deletes bool) provider.Event {
	t.Helper()
	d := provider.Message{ReceivedAt: received(), Body: []byte("{}")}
	e := payload.New(d, 0)
	e.ID, e.Type = "e", "t"
	c := payload.Change{Mapping: users(), Path: "user", Object: parse(t, object), Deletes: deletes}
	if sentAt != "" {
		c.SentAt = payload.SetSentAt(&e, d, parse(t, sentAt))
	}
	require.True(t, c.Read(d, &e, provider.Options{}))
	return c.Apply(d, e)
}

func TestClocks(t *testing.T) {
	t.Parallel()
	const (
		receipt  = "the time of receipt is the clock instead"
		envelope = "the envelope's time is the clock instead"
		future   = "lies in the future: "
		noDate   = "is no date that can be read: "
	)
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		clock, err := time.Parse("15:04:05.999", text)
		require.NoError(t, err)
		return received().Truncate(24 * time.Hour).Add(clock.Sub(clock.Truncate(24 * time.Hour)))
	}
	for name, c := range map[string]struct {
		object, sentAt          string
		deletes                 bool
		at, deletedClock, sent  string
		deletedAt, updatedAt    string
		note                    string
		saysNothingButDeletedAt bool
		isReceipt               bool // the clock: that of the deletion if it is one, else that of the profile
	}{
		"OwnUpdatedAt": {
			object: `{"id":"u","updated":"2026-05-04T09:00:00Z"}`, sentAt: `"2026-05-04T09:30:00Z"`,
			at: "09:00:00", sent: "09:30:00", updatedAt: "2026-05-04T09:00:00Z",
		},
		"ElseTheEnvelope": {
			object: `{"id":"u"}`, sentAt: `"2026-05-04T09:30:00Z"`,
			at: "09:30:00", sent: "09:30:00",
		},
		"ElseReceipt": {
			object: `{"id":"u","updated":null}`, isReceipt: true,
			at: "10:00:00", sent: "10:00:00",
		},
		"UnreadableUpdatedAt": {
			object: `{"id":"u","updated":"last week"}`, sentAt: `"2026-05-04T09:30:00Z"`,
			at: "09:30:00", sent: "09:30:00", note: "updated " + noDate + "updated_at is left as it was, and " + envelope,
		},
		"UnreadableUpdatedAtAndNoEnvelope": {
			object: `{"id":"u","updated":"2026-05-04T09:00:00 CET"}`, isReceipt: true,
			at: "10:00:00", sent: "10:00:00", note: "updated " + noDate + "updated_at is left as it was, and " + receipt,
		},
		"UnreadableEnvelope": {
			object: `{"id":"u"}`, sentAt: `"then"`, isReceipt: true,
			at: "10:00:00", sent: "10:00:00", note: "the envelope's time " + noDate + receipt,
		},
		"UnreadableEnvelopeThatIsNotNeeded": {
			object: `{"id":"u","updated":"2026-05-04T09:00:00Z"}`, sentAt: `{"at":1}`,
			at: "09:00:00", sent: "10:00:00", updatedAt: "2026-05-04T09:00:00Z", note: "the envelope's time " + noDate + receipt,
		},
		"AMinuteAheadIsSkew": {
			object: `{"id":"u","updated":"2026-05-04T10:01:00Z"}`,
			at:     "10:01:00", sent: "10:00:00", updatedAt: "2026-05-04T10:01:00Z",
		},
		"MoreThanAMinuteAheadIsCapped": {
			object: `{"id":"u","updated":"2026-05-04T10:01:00.001Z"}`, isReceipt: true,
			at: "10:00:00", sent: "10:00:00", updatedAt: "2026-05-04T10:01:00.001Z", note: "updated " + future + receipt,
		},
		"UpdatedAtAheadAndAnEnvelope": {
			object: `{"id":"u","updated":"2031-01-01T00:00:00Z"}`, sentAt: `"2026-05-04T09:30:00Z"`,
			at: "09:30:00", sent: "09:30:00", updatedAt: "2031-01-01T00:00:00Z", note: "updated " + future + envelope,
		},
		"EnvelopeAheadIsCapped": {
			object: `{"id":"u","updated":"2026-05-04T09:00:00Z"}`, sentAt: `"2027-01-01T00:00:00Z"`,
			at: "09:00:00", sent: "10:00:00", updatedAt: "2026-05-04T09:00:00Z", note: "the envelope's time " + future + receipt,
		},
		"DeletedAt": {
			object: `{"id":"u","deleted":"2026-05-04T09:00:00.5Z"}`, sentAt: `"2026-05-04T09:30:00Z"`, deletes: true,
			deletedClock: "09:00:00.5", sent: "09:30:00", deletedAt: "2026-05-04T09:00:00.5Z", saysNothingButDeletedAt: true,
		},
		"DeletedByTheEnvelope": {
			object: `{"id":"u","email":"old"}`, sentAt: `"2026-05-04T09:30:00Z"`, deletes: true,
			deletedClock: "09:30:00", sent: "09:30:00", deletedAt: "2026-05-04T09:30:00Z", saysNothingButDeletedAt: true,
		},
		"DeletedByReceipt": {
			object: `{"id":"u","deleted":[]}`, deletes: true, isReceipt: true,
			deletedClock: "10:00:00", sent: "10:00:00", deletedAt: "2026-05-04T10:00:00Z", saysNothingButDeletedAt: true,
			note: "deleted " + noDate + receipt,
		},
		"DeletionWithAnOldProfile": {
			object: `{"id":"u","updated":"2026-05-01T00:00:00Z"}`, sentAt: `"2026-05-04T09:30:00Z"`, deletes: true,
			deletedClock: "09:30:00", sent: "09:30:00", deletedAt: "2026-05-04T09:30:00Z", updatedAt: "2026-05-01T00:00:00Z",
		},
		"DeletionWithUnreadableDeletedAtAndAnEnvelope": {
			object: `{"id":"u","deleted":"yesterday"}`, sentAt: `"2026-05-04T09:30:00Z"`, deletes: true,
			deletedClock: "09:30:00", sent: "09:30:00", deletedAt: "2026-05-04T09:30:00Z", saysNothingButDeletedAt: true,
			note: "deleted " + noDate + envelope,
		},
		"DeletionWithUnreadableUpdatedAt": {
			object: `{"id":"u","updated":7e99,"email":"old"}`, deletes: true, isReceipt: true,
			deletedClock: "10:00:00", sent: "10:00:00", deletedAt: "2026-05-04T10:00:00Z", saysNothingButDeletedAt: true,
			note: "updated is no date that can be read: the other values are left as they were",
		},
		"DeletionInWholeSeconds": {
			object: `{"id":"u"}`, sentAt: `1777887000`, deletes: true,
			deletedClock: "09:30:00.999", sent: "09:30:00", deletedAt: "2026-05-04T09:30:00Z", saysNothingButDeletedAt: true,
		},
		"DeletionInMilliseconds": {
			object: `{"id":"u"}`, sentAt: `1777887000000`, deletes: true,
			deletedClock: "09:30:00", sent: "09:30:00", deletedAt: "2026-05-04T09:30:00Z", saysNothingButDeletedAt: true,
		},
		"DeletionInTheFutureIsCapped": {
			object: `{"id":"u","deleted":"2030-01-01T00:00:00Z"}`, deletes: true, isReceipt: true,
			deletedClock: "10:00:00", sent: "10:00:00", deletedAt: "2030-01-01T00:00:00Z", saysNothingButDeletedAt: true,
			note: "deleted " + future + receipt,
		},
		"DeletionWithAnEnvelopeAhead": {
			object: `{"id":"u"}`, sentAt: `"2026-05-04T10:01:01Z"`, deletes: true, isReceipt: true,
			deletedClock: "10:00:00", sent: "10:00:00", deletedAt: "2026-05-04T10:00:00Z", saysNothingButDeletedAt: true,
			note: "the envelope's time " + future + receipt,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := apply(t, c.object, c.sentAt, c.deletes)
			require.Equal(t, provider.Apply, e.Verdict)
			require.Equal(t, c.note, e.Reason)
			require.Equal(t, at(c.deletedClock), e.DeletedClock)
			require.Equal(t, at(c.sent), e.SentAt)
			require.Equal(t, c.isReceipt && c.deletes, e.DeletedClockIsReceipt)
			require.Equal(t, c.isReceipt && !c.deletes, e.AtIsReceipt)
			if name == "DeletionWithAnOldProfile" {
				require.Equal(t, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), e.At)
			} else {
				require.Equal(t, at(c.at), e.At)
			}
			require.Equal(t, c.deletedAt, said(e, record.DeletedAt))
			require.Equal(t, c.updatedAt, said(e, record.UpdatedAt))
			require.Equal(t, c.saysNothingButDeletedAt, e.Raw == nil)
			if c.saysNothingButDeletedAt {
				require.Len(t, e.Fields, 1)
			}
		})
	}
}

func said(e provider.Event, column record.Column) string {
	if value := e.Fields[column]; value != nil {
		return *value
	}
	return ""
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ members, first, last string }{
		"Absent":                  {``, "unsaid", "unsaid"},
		"Both":                    {`"first":"Ada","last":"Byron","name":"Other Name"`, "Ada", "Byron"},
		"FirstOnly":               {`"first":"Ada","name":"Other Name"`, "Ada", "unsaid"},
		"FirstAndNullLast":        {`"first":"Ada","last":null,"name":"Other Name"`, "Ada", "NULL"},
		"LastAndNullFirst":        {`"first":null,"last":"Byron"`, "NULL", "Byron"},
		"NullsWithoutName":        {`"first":null,"last":null`, "NULL", "NULL"},
		"NullFirstWithoutName":    {`"first":null`, "NULL", "unsaid"},
		"NullsWithName":           {`"first":null,"last":null,"name":"Ada Byron"`, "Ada", "Byron"},
		"NullName":                {`"name":null`, "NULL", "NULL"},
		"NameOfOneWord":           {`"name":"Ada"`, "Ada", "NULL"},
		"NameOfThreeWords":        {`"name":"Ada King Byron"`, "Ada", "King Byron"},
		"NameWithOddSpace":        {`"name":" \tAda\u00a0 King  Byron\n"`, "Ada", "King  Byron"},
		"EmptyName":               {`"name":""`, "NULL", "NULL"},
		"NameOfSpace":             {`"name":" \u2003 "`, "NULL", "NULL"},
		"NameIsANumber":           {`"name":7`, "unsaid", "unsaid"},
		"FirstIsANumber":          {`"first":7,"name":"Ada Byron"`, "Ada", "Byron"},
		"FirstIsANumberAndNoName": {`"first":7`, "unsaid", "unsaid"},
		"FirstIsANumberHasLast":   {`"first":7,"last":"Byron"`, "unsaid", "Byron"},
		"EmptyFirst":              {`"first":"","name":"Ada Byron"`, "Ada", "Byron"},
		"EmptyBoth":               {`"first":"","last":"","name":"Ada Lovelace"`, "Ada", "Lovelace"},
		"SpaceInBoth":             {`"first":" ","last":"\t\u00a0","name":"Ada King Byron"`, "Ada", "King Byron"},
		"EmptyFirstAndNullLast":   {`"first":"","last":null,"name":"Ada"`, "Ada", "NULL"},
		"EmptyBothAndNoName":      {`"first":"","last":""`, "NULL", "NULL"},
		"EmptyBothAndEmptyName":   {`"first":"","last":"","name":"  "`, "NULL", "NULL"},
		"EmptyBothAndNullName":    {`"first":"","last":"","name":null`, "NULL", "NULL"},
		"FirstAndEmptyLast":       {`"first":"Ada","last":"","name":"Other Name"`, "Ada", "NULL"},
		"LastAndEmptyFirst":       {`"first":" ","last":"Byron","name":"Other Name"`, "NULL", "Byron"},
		"EmptyFirstAndNoName":     {`"first":""`, "NULL", "unsaid"},
		"NulInName":               {`"name":"A\u0000 B"`, "A\ufffd", "B"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := `{"id":"u"}`
			if c.members != "" {
				object = `{"id":"u",` + c.members + `}`
			}
			e := apply(t, object, "", false)
			for column, want := range map[record.Column]string{record.FirstName: c.first, record.LastName: c.last} {
				got, says := "unsaid", false
				if _, says = e.Fields[column]; says {
					if got = said(e, column); e.Fields[column] == nil {
						got = "NULL"
					}
				}
				require.Equal(t, want, got, column)
			}
		})
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`"2026-05-04T10:20:30.123456Z"`:             "2026-05-04T10:20:30.123456Z",
		`"2026-05-04T10:20:30.1234569Z"`:            "2026-05-04T10:20:30.123456Z",
		`"2026-05-04T10:20:30Z"`:                    "2026-05-04T10:20:30Z",
		`"2026-05-04T10:20:30.87Z"`:                 "2026-05-04T10:20:30.87Z",
		`"2026-05-04T12:20:30+02:00"`:               "2026-05-04T10:20:30Z",
		`"2026-05-04 12:20:30.5+02"`:                "2026-05-04T10:20:30.5Z",
		`"2026-05-04 10:20:30Z"`:                    "2026-05-04T10:20:30Z",
		`1777890030`:                                "2026-05-04T10:20:30Z",
		`1777890030123`:                             "2026-05-04T10:20:30.123Z",
		`"1777890030123"`:                           "2026-05-04T10:20:30.123Z",
		`1777890030123.5`:                           "2026-05-04T10:20:30.1235Z",
		`1777890030.25`:                             "2026-05-04T10:20:30.25Z",
		`1.777890030123e12`:                         "2026-05-04T10:20:30.123Z",
		`0`:                                         "1970-01-01T00:00:00Z",
		`-1`:                                        "1969-12-31T23:59:59Z",
		`99999999999`:                               "5138-11-16T09:46:39Z",
		`-100000000000`:                             "1966-10-31T14:13:20Z",
		`100000000000`:                              "1973-03-03T09:46:40Z",
		`{"$date":"2026-05-04T10:20:30Z"}`:          "2026-05-04T10:20:30Z",
		`{"$date":1777890030123}`:                   "2026-05-04T10:20:30.123Z",
		`"9999-12-31T23:59:59.999999Z"`:             "9999-12-31T23:59:59.999999Z",
		`"0001-01-01T00:00:00.000001Z"`:             "0001-01-01T00:00:00.000001Z",
		`"9999-12-31T23:59:59-01:00"`:               "",
		`"0001-01-01T00:00:00+01:00"`:               "",
		`"0001-01-01T00:00:00Z"`:                    "",
		`"0000-01-01T00:00:00Z"`:                    "",
		`253402300800000`:                           "",
		`-99999999999999999999`:                     "",
		`9223372036854775807`:                       "",
		`-9223372036854775808`:                      "",
		`1e400`:                                     "",
		`1e15`:                                      "2001-09-09T01:46:40Z",
		`1777890030123456`:                          "2026-05-04T10:20:30.123456Z",
		`"1777890030123456"`:                        "2026-05-04T10:20:30.123456Z",
		`1777890030123456.75`:                       "2026-05-04T10:20:30.123456Z",
		`-1777890030123`:                            "1913-08-30T13:39:29.877Z",
		`-1777890030123456`:                         "1913-08-30T13:39:29.876544Z",
		`253402300799999`:                           "9999-12-31T23:59:59.999Z",
		`999999999999999`:                           "",
		`{"$date":{"$numberLong":"1777890030123"}}`: "2026-05-04T10:20:30.123Z",
		`{"_seconds":1777890030,"_nanoseconds":123000000}`: "2026-05-04T10:20:30.123Z",
		`{"seconds":"1777890030","nanos":5000}`:            "2026-05-04T10:20:30.000005Z",
		`{"seconds":1777890030,"of":"what"}`:               "",
		`{"$date":[]}`:                                     "",
		`{"seconds":1e9}`:                                  "",
		`"NaN"`:                                            "",
		`"Infinity"`:                                       "",
		`""`:                                               "",
		`"2026-05-04"`:                                     "",
		`"infinity"`:                                       "",
		`"2026-02-30T10:20:30Z"`:                           "",
		`"2026-05-04T10:20:30Z\u0000"`:                     "",
		`{"$date":{"$date":"2026-05-04T10:20Z"}}`:          "",
		`{}`:   "",
		`[1]`:  "",
		`true`: "",
		`null`: "",
	} {
		got, ok := payload.ParseTime(parse(t, doc))
		require.Equal(t, want != "", ok, doc)
		if ok {
			require.Equal(t, want, payload.Format(got.Time), doc)
			require.Equal(t, time.UTC, got.Location())
			require.Equal(t, got.Truncate(time.Microsecond), got.Time)
		}
	}
	_, ok := payload.ParseTime(nil)
	require.False(t, ok)
}
