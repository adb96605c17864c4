package mirror_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestTheSameValueInTwoForms(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	for name, c := range map[string]struct {
		one, other string
		same       bool
	}{
		"SerialID":                 {`"5021"`, `5021`, true},
		"AnotherSerialID":          {`"5021"`, `5022`, false},
		"BigintBeyondJavaScript":   {`"9007199254740993"`, `9007199254740993`, true},
		"BigintThatLostDigits":     {`9007199254740992`, `"9007199254740993"`, true},
		"BigintsAsTextsThatDiffer": {`"9007199254740992"`, `"9007199254740993"`, false},
		"NumericWithZeros":         {`12.5`, `"12.50"`, true},
		"NumericOfManyDigits":      {`0.1`, `"0.1000000000000000055511151231257827"`, true},
		"NumericThatDiffers":       {`12.5`, `"12.51"`, false},
		"NegativeNumber":           {`-3`, `"-3.0"`, true},
		"NumberBeyondFloat":        {`1e50`, `"100000000000000000000000000000000000000000000000000"`, true},
		"VersionsAreTexts":         {`"1.10"`, `"1.1"`, false},
		"LeadingZerosAreText":      {`"007"`, `"7"`, false},
		"NotANumber":               {`5`, `"five"`, false},
		"TrueAsNumber":             {`true`, `1`, true},
		"FalseAsNumber":            {`0`, `false`, true},
		"TrueAsText":               {`"t"`, `true`, true},
		"TrueAsWord":               {`"true"`, `true`, true},
		"TrueIsNotFalse":           {`true`, `0`, false},
		"TrueIsNoOtherNumber":      {`true`, `2`, false},
		"TextsOfTruthDiffer":       {`"t"`, `"true"`, false},
		"InstantOfATable":          {`"2026-03-04T05:06:07.089Z"`, `"2026-03-04T05:06:07.089+00:00"`, true},
		"InstantOfPostgreSQL":      {`"2026-03-04T05:06:07.089Z"`, `"2026-03-04 05:06:07.089456+00"`, true},
		"InstantWithoutAZone":      {`"2026-03-04T05:06:07.000Z"`, `"2026-03-04 05:06:07"`, true},
		"InstantInAnotherZone":     {`"2026-03-04T05:06:07Z"`, `"2026-03-04T07:06:07+0200"`, true},
		"InstantInMilliseconds":    {`"2026-03-04T05:06:07.089Z"`, `1772600767089`, true},
		"DateAndMidnight":          {`"2026-03-04"`, `"2026-03-04T00:00:00.000Z"`, true},
		"InstantThatDiffers":       {`"2026-03-04T05:06:07.089Z"`, `"2026-03-04T05:06:07.090Z"`, false},
		"InstantAndText":           {`"2026-03-04T05:06:07.089Z"`, `"2026-03-04 was a Wednesday"`, false},
		"InstantAndNoNumberOfOne":  {`"2026-03-04T05:06:07.089Z"`, `999999999999999`, false},
		"InstantThatIsNone":        {`"2026-13-04T05:06:07.089Z"`, `"2026-13-04 05:06:07.089"`, false},
		"JSONAsText":               {`{"a": [1, true]}`, `"{\"a\": [1, true]}"`, true},
		"JSONAsTextThatDiffers":    {`{"a": [1, true]}`, `"{\"a\": [1, false]}"`, false},
		"ArrayAsText":              {`["x", "y"]`, `"[\"x\",\"y\"]"`, true},
		"TextThatIsNoJSON":         {`{"a": 1}`, `"{a: 1}"`, false},
		"TextThatJsonbRefuses":     {`{"a": "x"}`, `"{\"a\": \"\\u0000\"}"`, false},
		"UUIDInAnotherCase":        {`"0B5484F1-0A6F-4A5B-9B0E-0C5D5B1B2A3C"`, `"0b5484f1-0a6f-4a5b-9b0e-0c5d5b1b2a3c"`, true},
		"UUIDThatDiffers":          {`"0B5484F1-0A6F-4A5B-9B0E-0C5D5B1B2A3C"`, `"0b5484f1-0a6f-4a5b-9b0e-0c5d5b1b2a3d"`, false},
		"TextInAnotherCase":        {`"Ada"`, `"ada"`, false},
		"NestedForms":              {`{"n": "5", "at": {"x": "2026-03-04T05:06:07Z"}, "z": null}`, `{"n": 5, "at": {"x": "2026-03-04 05:06:07"}}`, true},
		"NestedKeyMore":            {`{"theme": "dark"}`, `{"theme": "dark", "beta": true}`, false},
		"ArrayInAnotherOrder":      {`[1, 2]`, `[2, 1]`, false},
		"ArrayThatIsLonger":        {`[1, 2]`, `[1, 2, 3]`, false},
		"ArrayOfObjects":           {`[{"id": "1"}]`, `[{"id": 1}]`, true},
		"NullAndNothing":           {`{"a": null}`, `{}`, true},
		"NullAndEmptyText":         {`null`, `""`, false},
		"ObjectAndArray":           {`{}`, `[]`, false},
		"ObjectAndNumber":          {`{"a": 1}`, `1`, false},
		"TrueAndObject":            {`true`, `{"a": 1}`, false},
		"EmptyTextAndObject":       {`""`, `{}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, pair := range [][2]string{{c.one, c.other}, {c.other, c.one}} {
				var same bool
				require.NoError(t, pool.QueryRow(t.Context(), `SELECT capydb_auth.is_same_value($1::jsonb, $2::jsonb, false, 32)`, pair[0], pair[1]).Scan(&same))
				require.Equal(t, c.same, same, "%s and %s", pair[0], pair[1])
			}
		})
	}
}

// What end users write into their metadata must not stop a comparison.
func TestDeepAndLongValuesAreCompared(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	var same bool
	for _, query := range []string{
		`SELECT capydb_auth.is_same_value((repeat('[', 490) || '1' || repeat(']', 490))::jsonb, (repeat('[', 490) || '"1"' || repeat(']', 490))::jsonb, false, 32)`,
		`SELECT capydb_auth.is_same_value('{}', to_jsonb(repeat('[', 200000)), false, 32)`,
		`SELECT capydb_auth.is_same_value('[1]', to_jsonb(repeat('[', 20000) || repeat(']', 20000)), false, 32)`,
		`SELECT capydb_auth.is_same_value(to_jsonb(repeat('9', 1000)::numeric), to_jsonb(repeat('9', 1000) || '.5'), false, 32)`,
		`SELECT capydb_auth.is_same_value(to_jsonb(('0.' || repeat('0', 400) || '1')::numeric), '"1"', false, 32)`,
	} {
		require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&same), query)
		require.False(t, same, query)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	rules := provider.Comparison{
		Complete: []string{"name"}, Quiet: []string{"last_active_at"}, Loose: []string{"identities"}, Computed: []string{"expires_in"},
	}
	before := func(second int) []string { return []string{"updated_at", second0(second)} }
	says := func(pairs ...[]string) (all []string) {
		for _, p := range pairs {
			all = append(all, p...)
		}
		return all
	}
	signedIn := func(second int) []string { return []string{"last_sign_in_at", second0(second)} }
	for name, c := range map[string]struct {
		mirrored    []string
		raw         string
		byReading   bool
		read        []string
		there       string
		isLeast     bool
		finding     string
		columns     []string
		tolerated   []string
		isUndecided bool
	}{
		"Equal":                   {mirrored: says(before(1)), raw: `{"name": "Ada"}`, read: says(before(1)), there: `{"name": "Ada"}`, finding: mirror.Equal},
		"ObjectThatDiffers":       {raw: `{"settings": {"theme": "dark"}}`, there: `{"settings": {"theme": "light"}}`, finding: mirror.Differing, columns: []string{"raw"}},
		"ArrayThatDiffers":        {raw: `{"groups": ["a"]}`, there: `{"groups": ["a", "b"]}`, finding: mirror.Differing, columns: []string{"raw"}},
		"InstantThatDiffers":      {raw: `{"banExpires": "2026-03-04T05:06:07Z"}`, there: `{"banExpires": "2026-03-05T05:06:07Z"}`, finding: mirror.Differing, columns: []string{"raw"}},
		"ValueThatWasCleared":     {raw: `{"settings": {"theme": "dark"}}`, byReading: true, there: `{"settings": null}`, finding: mirror.Differing, columns: []string{"raw"}},
		"KeyMissingAfterAReading": {raw: `{}`, byReading: true, there: `{"settings": 1}`, finding: mirror.Differing, columns: []string{"raw"}},
		"KeyGoneAfterAReading":    {raw: `{"settings": 1}`, byReading: true, there: `{}`, finding: mirror.Differing, columns: []string{"raw"}},
		"KeyNoDeliverySays":       {raw: `{}`, there: `{"settings": 1}`, finding: mirror.Equal, tolerated: []string{"raw.settings"}},
		"KeyNoListSays":           {raw: `{"scim": 1}`, there: `{}`, finding: mirror.Equal, tolerated: []string{"raw.scim"}},
		"KeyEveryFormHas":         {raw: `{}`, there: `{"name": "Ada"}`, finding: mirror.Differing, columns: []string{"raw"}},
		"KeyEveryFormHadIsGone":   {raw: `{"name": "Ada"}`, there: `{}`, finding: mirror.Differing, columns: []string{"raw"}},
		"NullIsNoKey":             {raw: `{"banned": null}`, byReading: true, there: `{"image": null}`, finding: mirror.Equal},
		"OneFormSaysLess":         {raw: `{"identities": [{"id": "1", "isSocial": true}]}`, there: `{"identities": [{"id": 1}]}`, finding: mirror.Equal},
		"OneFormSaysOtherwise":    {raw: `{"identities": [{"id": "1"}]}`, there: `{"identities": [{"id": 2}]}`, finding: mirror.Differing, columns: []string{"raw"}},
		"TrueAtThisMoment":        {raw: `{"expires_in": 5}`, byReading: true, there: `{"expires_in": 4}`, finding: mirror.Equal, tolerated: []string{"raw.expires_in"}},
		"SignIn": {
			mirrored: says(before(1), signedIn(2)), read: says(before(1), signedIn(9)), finding: mirror.Unreported, columns: []string{"last_sign_in_at"},
		},
		"FirstSignIn": {
			mirrored: before(1), read: says(before(1), signedIn(9)), finding: mirror.Unreported, columns: []string{"last_sign_in_at"},
		},
		"SignInThatRawSays": {
			raw: `{"last_active_at": 1}`, there: `{"last_active_at": 2}`, finding: mirror.Unreported, columns: []string{"raw"},
		},
		"SignInAndAnEventThatWasLost": {
			mirrored: says(before(1), signedIn(2)), raw: `{"last_active_at": 1}`, read: says(before(3), signedIn(9)), there: `{"last_active_at": 2}`,
			finding: mirror.Differing, columns: []string{"updated_at", "last_sign_in_at", "raw"},
		},
		"SignInAndAnEdit": {
			mirrored: says(before(1), signedIn(2)), raw: `{"plan": "a"}`, read: says(before(1), signedIn(9)), there: `{"plan": "b"}`,
			finding: mirror.Differing, columns: []string{"last_sign_in_at", "raw"},
		},
		"SessionThatEnded": {
			mirrored: says(before(1), signedIn(9)), read: says(before(1), signedIn(2)), isLeast: true, finding: mirror.Equal,
		},
		"SignInThatIsTakenBack": {
			mirrored: says(before(1), signedIn(9)), read: says(before(1), signedIn(2)), finding: mirror.Unreported, columns: []string{"last_sign_in_at"},
		},
		"BelowAMillisecond": {
			mirrored: []string{"updated_at", "2026-03-01T12:00:01.123Z", "created_at", "2026-03-01T12:00:01.123Z"},
			read:     []string{"updated_at", "2026-03-01T12:00:01.123456Z", "created_at", "2026-03-01T12:00:01.123999Z"}, finding: mirror.Equal,
		},
		"AMillisecond": {
			mirrored: []string{"created_at", "2026-03-01T12:00:01.123Z"}, read: []string{"created_at", "2026-03-01T12:00:01.124Z"},
			finding: mirror.Differing, columns: []string{"created_at"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			was := update("evt_1", 10, c.mirrored...)
			if c.byReading {
				was = update("reconcile:1", 10, c.mirrored...)
			}
			if c.raw == "" {
				c.raw, c.there = `{}`, `{}`
			}
			apply(t, pool, []mirror.Event{withRaw(was, c.raw)})
			read := withRaw(update("reconcile:2", 10, c.read...), c.there)
			read.SentAt, read.ReceivedAt, read.NoLedger, read.LastSignInIsLeast = second(30), second(30), true, c.isLeast
			m := newMirrors(t, pool)
			found, err := m.Compare(t.Context(), projectID(), record.User, []mirror.Event{read}, rules)
			require.NoError(t, err)
			want := mirror.Finding{Finding: c.finding, Columns: []string{}, Tolerated: []string{}}
			want.Columns = append(want.Columns, c.columns...)
			want.Tolerated = append(want.Tolerated, c.tolerated...)
			require.Equal(t, []mirror.Finding{want}, found)

			// What was found is mended by applying it, and not found again.
			if c.finding != mirror.Equal {
				require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{read}))
				found, err = m.Compare(t.Context(), projectID(), record.User, []mirror.Event{read}, rules)
				require.NoError(t, err)
				require.Equal(t, []mirror.Finding{{Finding: mirror.Equal, Columns: []string{}, Tolerated: []string{}}}, found)
			}
		})
	}
}

func second0(n int) string { return second(float64(n)).Format(time.RFC3339) }

// The last sign-in that a table of sessions knows never goes back.
func TestASessionThatEndsDoesNotTakeTheLastSignInBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	const selectSignIn = `SELECT to_char(last_sign_in_at AT TIME ZONE 'UTC', 'SS') || ' ' || coalesce(email, '-') FROM capydb_auth.users WHERE id = 'u1'`
	for _, c := range []struct {
		signIn, second int
		email, want    string
	}{
		{20, 1, "a", "20 a"},
		{10, 2, "b", "20 b"}, // the newer session is gone
		{30, 2, "b", "30 b"},
		{25, 1, "x", "30 b"}, // read long ago
	} {
		read := update("reconcile:1", c.second, "email", c.email, "last_sign_in_at", second0(c.signIn))
		read.NoLedger, read.LastSignInIsLeast = true, true
		apply(t, pool, []mirror.Event{read})
		require.Equal(t, c.want, one(t, pool, selectSignIn))
	}
}
