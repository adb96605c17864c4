package filter_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

type row = destinationtest.Row

func raw(plan any) row {
	return row{"raw": map[string]any{"app_metadata": map[string]any{"plan": plan, "https://example.com/role": plan}, "list": []any{map[string]any{"n": plan}}}}
}

func updated(before, user row, changed ...string) destination.Message {
	return destinationtest.Message(2, destination.UserUpdated, destinationtest.User(before), destinationtest.User(user), changed...)
}

func organization(t *testing.T, eventType string) destination.Message {
	t.Helper()
	m, err := destination.TestMessage(destinationtest.DestinationID(), destinationtest.ProjectID(), eventType, destinationtest.EventAt())
	require.NoError(t, err)
	return m
}

func TestWants(t *testing.T) {
	t.Parallel()
	condition := func(text string) *string { return &text }
	for name, c := range map[string]struct {
		eventTypes, fields []string
		condition          *string
		message            destination.Message
		wanted             bool
		why                string
	}{
		"Everything":                      {nil, nil, nil, destinationtest.Updated(), true, ""},
		"EventTypeIsWanted":               {[]string{"user.deleted"}, nil, nil, destinationtest.Deleted(), true, ""},
		"AllOfARecordTypeAreWanted":       {[]string{"user.*"}, nil, nil, destinationtest.Deleted(), true, ""},
		"OtherRecordTypesAreNot":          {[]string{"user.*"}, nil, nil, organization(t, "organization.updated"), false, "its event type is organization.updated"},
		"FieldOfAnOrganization":           {[]string{"organization.*"}, []string{"name"}, nil, organization(t, "organization.updated"), true, ""},
		"OtherFieldOfAnOrganization":      {[]string{"organization.*"}, []string{"slug"}, nil, organization(t, "organization.updated"), false, "slug"},
		"FieldItDoesNotHave":              {[]string{"user.*", "organization.*"}, []string{"email"}, nil, organization(t, "organization.updated"), false, "email"},
		"DeletedOrganizationPasses":       {[]string{"organization.*"}, []string{"slug"}, nil, organization(t, "organization.deleted"), true, ""},
		"ConditionSeesTheOrganization":    {nil, nil, condition(`.record_type == "organization" and .organization.name == "Test" and .user == null and if_changed(.name) == "Test" and .before.name != "Test"`), organization(t, "organization.updated"), true, ""},
		"EventTypeIsNotWanted":            {[]string{"user.created", "user.deleted"}, nil, nil, destinationtest.Updated(), false, "its event type is user.updated"},
		"FieldChanged":                    {nil, []string{"username", "email"}, nil, destinationtest.Updated(), true, ""},
		"OtherFieldChanged":               {nil, []string{"first_name"}, nil, destinationtest.Updated(), false, "first_name"},
		"DeepFieldChanged":                {nil, []string{"raw.app_metadata.plan"}, nil, updated(raw("free"), raw("pro"), "raw"), true, ""},
		"DeepFieldDidNot":                 {nil, []string{"raw.app_metadata.role"}, nil, updated(raw("free"), raw("pro"), "raw"), false, "raw.app_metadata.role"},
		"DeepFieldAppeared":               {nil, []string{"raw.app_metadata.plan"}, nil, updated(row{"raw": nil}, raw("pro"), "raw"), true, ""},
		"DeepFieldWentAway":               {nil, []string{"raw.app_metadata.plan"}, nil, updated(raw("pro"), row{"raw": nil}, "raw"), true, ""},
		"NullIsAsGoodAsAbsent":            {nil, []string{"raw.app_metadata.plan"}, nil, updated(row{"raw": nil}, raw(nil), "raw"), false, "raw.app_metadata.plan"},
		"SameNumberWrittenOtherwise":      {nil, []string{"raw.app_metadata.plan"}, nil, updated(raw(json.Number("1.0")), raw(json.Number("1")), "raw"), false, "plan"},
		"LargeNumbersDiffer":              {nil, []string{"raw.app_metadata.plan"}, nil, updated(raw(json.Number("9007199254740992")), raw(json.Number("9007199254740993")), "raw"), true, ""},
		"PlaceInAList":                    {nil, []string{"raw.list.0.n"}, nil, updated(raw(1), raw(2), "raw"), true, ""},
		"PlaceBeyondTheList":              {nil, []string{"raw.list.7.n", "raw.list.x"}, nil, updated(raw(1), raw(2), "raw"), false, "raw.list.7.n, raw.list.x"},
		"ExpressionForNamesWithDots":      {nil, []string{`.raw.app_metadata["https://example.com/role"]`}, nil, updated(raw("a"), raw("b"), "raw"), true, ""},
		"ExpressionOfSeveralValues":       {nil, []string{".raw.list[].n, .email"}, nil, updated(raw(1), raw(1), "raw"), false, ".raw.list"},
		"NewUserHasTheField":              {nil, []string{"email"}, nil, destinationtest.Created(), true, ""},
		"NewUserLacksTheField":            {nil, []string{"username"}, nil, destinationtest.Created(), false, "username"},
		"DeletedPassesTheFields":          {nil, []string{"username"}, nil, destinationtest.Deleted(), true, ""},
		"RestoredPassesTheFields":         {nil, []string{"username"}, nil, destinationtest.Restored(), true, ""},
		"DeletedDoesNotPassTheEventTypes": {[]string{"user.updated"}, nil, nil, destinationtest.Deleted(), false, "its event type is user.deleted"},
		"ConditionHolds":                  {nil, nil, condition(".user.raw.app_metadata.consent == true"), destinationtest.Updated(), true, ""},
		"ConditionDoesNot":                {nil, nil, condition(`.user.email | endswith("@example.org")`), destinationtest.Updated(), false, "condition"},
		"ConditionSeesTheWholeMessage":    {nil, nil, condition(`.type == "user.updated" and .change_id == 2 and .changed == ["email"] and .before.email == "ada@old.example" and .provider == "auth0" and .event_at == "2026-05-04T10:20:30Z"`), destinationtest.Updated(), true, ""},
		"ConditionOfNull":                 {nil, nil, condition(".user.username"), destinationtest.Updated(), false, "condition"},
		"ConditionOfNothing":              {nil, nil, condition("empty"), destinationtest.Updated(), false, "condition"},
		"ConditionAfterTheFields":         {nil, []string{"username"}, condition("error"), destinationtest.Updated(), false, "username"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := filter.Compile(c.eventTypes, c.fields, c.condition)
			require.NoError(t, err)
			wanted, why, err := s.Wants(c.message)
			require.NoError(t, err)
			require.Equal(t, c.wanted, wanted)
			require.Contains(t, why, c.why)
			require.Equal(t, wanted, why == "", "it says why not, and only then")
		})
	}
}

func TestWantsFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ field, condition, says string }{
		"ConditionIsAText":  {"email", ".user.email", "string where true or false is wanted"},
		"ConditionFails":    {"email", ".user.email.domain", "fails on this change"},
		"ConditionIsTwo":    {"email", "true, false", "gives 2 values"},
		"ConditionNeverEnd": {"email", "last(repeat(1))", "took longer than"},
		"FieldFails":        {".email.domain", "true", "the field .email.domain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := filter.Compile(nil, []string{c.field}, &c.condition)
			require.NoError(t, err)
			_, _, err = s.Wants(destinationtest.Updated())
			require.True(t, fault.Is(err, fault.Invalid))
			require.ErrorContains(t, err, c.says)
		})
	}
}

// Whoever counts must keep the Selection: another one begins at none.
func TestAnExpressionThatCostsWorkersHalts(t *testing.T) {
	t.Parallel()
	bomb, harmless := `("9" * 10000000 | tonumber + 1) == 1`, "true"
	for name, c := range map[string]struct {
		fields    []string
		condition *string
		says      string
	}{
		"Condition": {nil, &bomb, "condition took longer than"},
		"Field":     {[]string{`.email | ("9" * 10000000 | tonumber + 1)`}, &harmless, "the field .email"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := filter.Compile(nil, c.fields, c.condition)
			require.NoError(t, err)
			runs := 0
			for !destination.Halts(err) { // on a busy machine a run may be ended between two steps, which costs no worker
				_, _, err = s.Wants(destinationtest.Updated())
				require.ErrorContains(t, err, c.says)
				runs++
				require.Less(t, runs, jq.MaxKills+jq.MaxSlow)
			}
			require.GreaterOrEqual(t, runs, jq.MaxKills)
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		eventTypes, fields []string
		condition          string
		says               []string
	}{
		"UnknownEventType":         {[]string{"user.renamed"}, nil, "true", []string{`event_types has "user.renamed"`, "such as user.updated or organization.*"}},
		"UnknownColumn":            {nil, []string{"plan"}, "true", []string{`"plan"`, "email", "raw.app_metadata.plan"}},
		"ColumnThatNoEventChanges": {nil, []string{"provider"}, "true", []string{`"provider"`, "begins with no column"}},
		"EmptyName":                {nil, []string{"raw..plan"}, "true", []string{`"raw..plan"`, "raw.app_metadata.plan"}},
		"EmptyField":               {nil, []string{""}, "true", []string{"fields", "email"}},
		"TooMany":                  {nil, make([]string, 101), "true", []string{"101", "100"}},
		"FieldIsNoJQ":              {nil, []string{".raw["}, "true", []string{".raw[", "too early"}},
		"ConditionIsNoJQ":          {nil, nil, ".user.email ==", []string{"condition", "too early"}},
		"ConditionIsEmpty":         {nil, nil, " ", []string{"condition is empty"}},
		"ConditionOfUnknownName":   {nil, nil, "foo(1)", []string{"condition", "foo/1"}},
		"ConditionKnowsNoSecrets":  {nil, nil, "$secrets.token", []string{"condition", "no variables here"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := filter.Compile(c.eventTypes, c.fields, &c.condition)
			require.True(t, fault.Is(err, fault.Invalid))
			for _, part := range c.says {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

// A field is wanted exactly if its value differs, whatever else of the user changed.
func TestFieldsAreComparedByValue(t *testing.T) {
	t.Parallel()
	s, err := filter.Compile(nil, []string{"raw.app_metadata.plan", "email"}, nil)
	require.NoError(t, err)
	values := rapid.SampledFrom([]any{nil, "", "free", "pro", 1, 1.5, true, []any{}, map[string]any{"a": nil}})
	rapid.Check(t, func(rt *rapid.T) {
		user := func(label string) (row, []any) {
			plan, email, other := values.Draw(rt, label+" plan"), values.Draw(rt, label+" email"), values.Draw(rt, label+" name")
			u := raw(plan)
			u["email"], u["first_name"] = email, other
			return u, []any{plan, email}
		}
		before, old := user("old")
		after, now := user("new")
		wanted, _, err := s.Wants(updated(before, after))
		require.NoError(rt, err)
		oldJSON, err := json.Marshal(old)
		require.NoError(rt, err)
		nowJSON, err := json.Marshal(now)
		require.NoError(rt, err)
		differ := string(oldJSON) != string(nowJSON)
		require.Equal(rt, wanted, differ)
	})
}
