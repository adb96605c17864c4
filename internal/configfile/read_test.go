package configfile_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/configfile"
)

// Every mistake is named with its place, and no value is repeated: it may be a secret.
func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	t.Parallel()
	const shop = "version: 1\nprojects:\n  shop:\n"
	for name, tc := range map[string]struct{ text, want string }{
		"Empty":         {"# nothing\n", "f.yaml is empty: authsync export writes such a file"},
		"NoYAML":        {"version: 1\nprojects: [\n", "f.yaml: line 2: did not find expected node content"},
		"NoVersion":     {"projects: {}\n", "f.yaml:1:1: version is missing: begin the file with version: 1"},
		"OtherVersion":  {"version: 2\nprograms: {}\n", `f.yaml:1:10: version is "2": this program reads version 1`},
		"TwoDocuments":  {"version: 1\n---\nversion: 1\n", "f.yaml has several documents: one is read"},
		"Key":           {shop + "    integratons: {}\n", `f.yaml:4:5: unknown key "integratons": did you mean "integrations"?`},
		"FarKey":        {shop + "    owner: me\n", `f.yaml:4:5: unknown key "owner": it takes clone_of, database_url, destinations, integrations`},
		"KeyTwice":      {shop + "    destinations: {}\n    destinations: {}\n", `f.yaml:5:5: the key "destinations" is given twice`},
		"Anchor":        {shop + "    destinations: &all {}\n", "f.yaml:4:19: anchors and aliases are not supported: write it out"},
		"Alias":         {shop + "    destinations: *all\n", "f.yaml: unknown anchor 'all' referenced"},
		"Tag":           {shop + "    destinations: {app: {type: !!str webhook}}\n", "f.yaml:4:32: tags such as !!str are not supported: put text in quotation marks"},
		"Secret":        {shop + "    database_url: postgres://u:hunter2@h/d\n", "f.yaml:4:19: a secret has no place in this file: say where it is, as in {env: NAME} or {file: PATH}"},
		"TwoPlaces":     {shop + "    database_url: {env: A, file: b}\n", "f.yaml:4:5: say where the secret is: either {env: NAME} or {file: PATH}"},
		"NoPlace":       {shop + "    database_url: {}\n", "f.yaml:4:5: say where the secret is: either {env: NAME} or {file: PATH}"},
		"Provider":      {shop + "    integrations:\n      clark: {}\n", `f.yaml:5:7: unknown provider "clark": did you mean "clerk"?`},
		"ProviderTwice": {shop + "    integrations:\n      better-auth: {}\n      better_auth: {}\n", "integration better_auth is given twice"},
		"Credential":    {shop + "    integrations: {clerk: {credentials: {secretkey: {env: A}}}}\n", `f.yaml:4:42: unknown credential "secretkey": did you mean "secret_key"?`},
		"Option":        {shop + "    integrations: {clerk: {options: {reconcile: {evry: 6h}}}}\n", `f.yaml:4:50: unknown key "evry": did you mean "every"?`},
		"OptionValue":   {shop + "    integrations: {clerk: {options: {reconcile: {every: 6}}}}\n", "f.yaml:4:57: this is no text: put it in quotation marks"},
		"OptionRefused": {shop + "    integrations: {clerk: {options: {reconcile: {every: often}}}}\n", `f.yaml:4:28: options.reconcile.every is "often"`},
		"OfAnother":     {shop + "    integrations: {better_auth: {options: {signature_formats: [md5]}}}\n", "f.yaml:4:34: options.signature_formats"},
		"ProjectName":   {"version: 1\nprojects: {My Shop: {}}\n", "f.yaml:2:12: the name of a project is 1 to 63 characters"},
		"Name":          {shop + "    destinations: {'a/b': {type: http}}\n", "f.yaml:4:20: the name of a destination is 1 to 63 characters"},
		"NoType":        {shop + "    destinations: {app: {}}\n", "f.yaml:4:20: type is missing: give one of hubspot, webhook, http"},
		"Type":          {shop + "    destinations: {app: {type: webhok}}\n", `f.yaml:4:26: unknown type "webhok": did you mean "webhook"?`},
		"List":          {shop + "    destinations: {app: {type: webhook, fields: email}}\n", "f.yaml:4:49: it takes a list"},
		"NoList":        {shop + "    destinations: {app: {type: [webhook]}}\n", "f.yaml:4:32: this is a list: it takes text"},
		"NoMapping":     {shop + "    destinations: [app]\n", "f.yaml:4:19: this is a list: it takes a mapping"},
		"Mapping":       {shop + "    destinations: {app: {type: webhook, paused: {by: me}}}\n", "f.yaml:4:49: this is a mapping: it takes true or false"},
		"Reason":        {shop + "    destinations: {app: {type: webhook, pause_reason: moving, options: {url: https://x.example.com}}}\n", "f.yaml:4:41: pause_reason is for a destination that is paused: add paused: true"},
		"TypesOption":   {shop + "    destinations: {app: {type: webhook, options: {uri: https://x.example.com}}}\n", `f.yaml:4:51: unknown key "uri": did you mean "url"?`},
		"Inner":         {shop + "    destinations: {app: {type: http, options: {requests: {default: {methd: PUT}}}}}\n", `f.yaml:4:69: unknown key "methd": did you mean "method"?`},
		"WholeNumber":   {shop + "    destinations: {app: {type: webhook, options: {limit: {requests: 1.5}}}}\n", "f.yaml:4:69: it takes a whole number"},
		"TypesSecret":   {shop + "    destinations: {app: {type: webhook, secrets: {signing: {env: A}}}}\n", `f.yaml:4:51: unknown secret "signing": it takes signing_secret`},
		"Condition":     {shop + "    destinations: {app: {type: webhook, condition: '.user.(', options: {url: https://x.example.com}}}\n", "f.yaml:4:20: destination app: condition is no jq expression"},
		"EventType":     {shop + "    destinations: {app: {type: webhook, event_types: [user.renamed], options: {url: https://x.example.com}}}\n", `f.yaml:4:20: destination app: event_types has "user.renamed"`},
		"OfHubSpot":     {shop + "    destinations: {crm: {type: hubspot, event_types: [organization.*]}}\n", "f.yaml:4:20: destination crm: event_types has \"organization.*\": a destination of type hubspot takes user.* only"},
		"NaN":           {shop + "    destinations: {app: {type: webhook, options: {x: .nan}}}\n", "f.yaml:4:54: JSON, which the API speaks, has no such number"},
		"CloneOfNone":   {shop + "    clone_of: {mode: still}\n", "f.yaml:4:5: clone_of.project is missing: give the name of the project to clone"},
		"CloneMode":     {shop + "    clone_of: {project: a, mode: stil}\n", `f.yaml:4:28: unknown mode "stil": did you mean "still"?`},
		"CloneName":     {shop + "    clone_of: {project: My Shop}\n", "f.yaml:4:16: the name of a project is 1 to 63 characters"},
		"CloneOfItself": {shop + "    clone_of: {project: shop}\n", "f.yaml:4:5: project shop is a clone of itself"},
		"Circle":        {shop + "    clone_of: {project: a}\n  a: {clone_of: {project: b}}\n  b: {clone_of: {project: a}}\n", "f.yaml:5:7: project a is a clone of itself; f.yaml:6:7: project b is a clone of itself"},
		"CloneFollows":  {shop + "    clone_of: {project: a}\n    integrations: {clerk: {}}\n", "f.yaml:5:5: a clone that follows has no integrations of its own, for its records come from a: add mode: still to clone_of"},
		"All":           {shop + "    a: 1\n    b: 2\n", `f.yaml:4:5: unknown key "a": it takes clone_of, database_url, destinations, integrations, keep_days; f.yaml:5:5: unknown key "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := configfile.Read("f.yaml", []byte(tc.text))
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestManyMistakesAreCut(t *testing.T) {
	t.Parallel()
	_, err := configfile.Read("f.yaml", []byte("version: 1\n"+strings.Repeat("x: 1\n", 25)))
	require.ErrorContains(t, err, "; and 5 more")
}

// YAML 1.2's core schema, in which fewer things are no text than in YAML 1.1.
func TestScalarsAreThoseOfYAML12(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"~": `null`, "null": `null`, "": `null`, "true": `true`, "FALSE": `false`,
		"yes": `"yes"`, "off": `"off"`, "2026-01-31": `"2026-01-31"`, "12:30:45": `"12:30:45"`, "1_000": `"1_000"`, "0b1": `"0b1"`, "=": `"="`,
		"7": `7`, "010": `10`, "+7": `7`, "-0": `-0`, "0o17": `15`, "0xFF": `255`, "12345678901234567890": `12345678901234567890`,
		"1.50": `1.50`, ".5": `0.5`, "-.5": `-0.5`, "5.": `5`, "+1.e3": `1e3`, "01.5": `1.5`, "1e5": `1e5`,
		"'7'": `"7"`, `"true"`: `"true"`, "|\n  7\n": `"7\n"`,
	} {
		value, err := configfile.ReadValue([]byte("- " + text + "\n"))
		require.NoError(t, err, text)
		got, err := json.Marshal(value)
		require.NoError(t, err, text)
		require.Equal(t, "["+want+"]", string(got), text)
	}
}

// What is written reads as what it was, whatever the texts are.
func TestWhatIsWrittenReadsTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.String(), rapid.StringMatching(`[ \n\t:#'"{}\[\]&*!|>%@\-?,~0-9a-c]{0,12}`),
			rapid.SampledFrom([]string{
				"null", "~", "true", "yes", "No", "y", "0x1F", "010", "1e3", "1_000", "12:30", "2026-01-31", "=", "<<", "---", "...", "- a", "? a", "a: b", "a #b",
				" a", "a ", "\ta", "a\n", "\na", "a\n\nb\n\n", "a\n  b\nc", "a\r\nb", "a\u2028b", "\ufeffa", "\u0085", "\u00a0", "é", "日本語", "🙂", "{{ .user.id }}",
				"%YAML 1.2", "@a", "`a`", "!a", "&a", "*a", "|", ">", "''", `""`, `a"b'c`, "a\\nb", "\x7f", "\u200b", ".inf", ".5", "a:b", "a:", "a -b", "7d", "1e", strings.Repeat("long ", 60),
			}),
		)
		key := rapid.OneOf(text, rapid.StringN(1, 200, -1))
		number := rapid.SampledFrom([]json.Number{"0", "-1", "7", "1.50", "1e5", "-2.5E-3", "12345678901234567890123"})
		var value *rapid.Generator[any]
		value = rapid.Deferred(func() *rapid.Generator[any] {
			return rapid.OneOf(
				rapid.Map(text, func(v string) any { return v }), rapid.Map(number, func(v json.Number) any { return v }),
				rapid.Map(rapid.Bool(), func(v bool) any { return v }), rapid.Just[any](nil),
				rapid.Map(rapid.SliceOfN(value, 0, 3), func(v []any) any { return v }),
				rapid.Map(rapid.MapOfN(key, value, 0, 3), func(v map[string]any) any { return v }),
			)
		})
		object := rapid.MapOfN(key, value, 0, 4).Draw(t, "object")
		written := configfile.MarshalValue(object)
		read, err := configfile.ReadValue(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		require.Equal(t, any(object), read, "%s", written)
	})
}
