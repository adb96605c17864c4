package cli

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSet(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags []string
		want  string
	}{
		"NothingGivesNoKeys":           {nil, `{}`},
		"TextNeedsNoQuotes":            {[]string{"first_name=Ada Byron"}, `{"first_name": "Ada Byron"}`},
		"JSONIsTakenAsJSON":            {[]string{"n=12", "b=true", "l=[1,2]"}, `{"b": true, "l": [1, 2], "n": 12}`},
		"QuotedJSONIsText":             {[]string{`zip="01234"`}, `{"zip": "01234"}`},
		"NullIsExplicit":               {[]string{"username=null"}, `{"username": null}`},
		"EmptyIsEmptyText":             {[]string{"username="}, `{"username": ""}`},
		"DotsLeadIntoObjects":          {[]string{"meta.plan=pro", "meta.seats=3"}, `{"meta": {"plan": "pro", "seats": 3}}`},
		"MoreThanOneJSONValueIsText":   {[]string{"a=1 2"}, `{"a": "1 2"}`},
		"AnEqualsSignMayBeInTheValue":  {[]string{"url=https://x/?a=b"}, `{"url": "https://x/?a=b"}`},
		"LargeNumbersKeepTheirDigits":  {[]string{"at=1700000000123456789"}, `{"at": 1700000000123456789}`},
		"TheLastOfTwoWins":             {[]string{"a=1", "a=2"}, `{"a": 2}`},
		"DotsLeadIntoAnObjectOfBefore": {[]string{`m={"a":1}`, "m.b=2"}, `{"m": {"a": 1, "b": 2}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := parseSet("--set", tc.flags)
			require.NoError(t, err)
			got, err := json.Marshal(set)
			require.NoError(t, err)
			var want bytes.Buffer
			require.NoError(t, json.Compact(&want, []byte(tc.want)))
			require.Equal(t, want.String(), string(got)) // JSONEq would round large numbers
		})
	}
	for name, flags := range map[string][]string{
		"NoEqualsSign":      {"email"},
		"NoKey":             {"=x"},
		"EmptyPart":         {"a..b=x"},
		"TextHoldsNoKeys":   {"a=x", "a.b=y"},
		"NumberHoldsNoKeys": {"a=1", "a.b=y"},
	} {
		t.Run(name+"IsRefused", func(t *testing.T) {
			t.Parallel()
			_, err := parseSet("--set", flags)
			require.Error(t, err)
			require.True(t, isUsage(err))
		})
	}
}
