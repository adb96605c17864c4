package inbox_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgtest"
)

func TestIDsAreAMultirangeInJSON(t *testing.T) {
	t.Parallel()
	for want, ids := range map[string]inbox.IDs{
		`"{}"`:                        {},
		`"{[7,8)}"`:                   {7},
		`"{[1,4),[5,6),[9,11)}"`:      {1, 2, 3, 5, 9, 10},
		`"{[4294967296,4294967298)}"`: {4294967296, 4294967297},
	} {
		got, err := json.Marshal(ids)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestIDsComeBackFromJSONAndMeanTheSameInPostgreSQL(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	rapid.Check(t, func(rt *rapid.T) {
		ids := inbox.IDs(rapid.SliceOfNDistinct(rapid.Int64Range(0, 40), 0, 30, rapid.ID).Draw(rt, "ids"))
		slices.Sort(ids)
		text, err := json.Marshal(ids)
		require.NoError(rt, err)
		var back inbox.IDs
		require.NoError(rt, json.Unmarshal(text, &back))
		require.ElementsMatch(rt, ids, back)

		var same bool
		require.NoError(rt, tx.QueryRow(t.Context(), `
			SELECT coalesce(array_agg(n ORDER BY n) FILTER (WHERE n <@ ($1::jsonb #>> '{}')::int8multirange), '{}') = $2::bigint[]
			FROM generate_series(0::bigint, 40) AS n`, string(text), []int64(ids)).Scan(&same))
		require.True(rt, same, "%s", text)
	})
}

func TestIDsRefuseWhatIsNoListOfIDs(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"NoBraces": "[1,2)", "NoEnd": "{[1,2)", "NoRangeEnd": "{[1,2}", "NotANumber": "{[a,2)}", "NoEndOfRange": "{[1)}",
		"EmptyRange": "{[2,2)}", "Backwards": "{[2,1)}", "Nothing": "", "Closed": "{[1,2]}",
		"FillsTheMemory": "{[1,9223372036854775807)}", "FillsItInPieces": "{[1,60000),[60001,120000)}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ids inbox.IDs
			require.Error(t, ids.UnmarshalText([]byte(text)))
			require.LessOrEqual(t, len(ids), 100_000)
		})
	}
}
