package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/preview"
)

const acmeFile = `# a provider of one's own
signature:
  scheme: hmac
  header: X-Acme-Signature
types:
  person.add: user.created
  person.drop: user.deleted
ignore:
  login.*: a sign-in changes no profile
records:
  user:
    object: .person
    id: .uid
    email: .mail
    username: |
      if .handle
      then "@" + .handle
      else null end
`

// write puts texts into files of a new directory.
func write(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestPreviewShowsEachColumn(t *testing.T) {
	t.Parallel()
	const body = `[{"type":"person.add","person":{"uid":7,"mail":"ada@example.com","handle":"ada"}},{"type":"login.ok"}]`
	dir := write(t, map[string]string{"acme.yaml": acmeFile, "body.json": body})
	args := []string{"integrations", "preview", "-f", filepath.Join(dir, "acme.yaml"), filepath.Join(dir, "body.json")}
	r := run(t.Context(), nil, "", args...)
	require.Zero(t, r.status, r.err)
	for _, part := range []string{"Event person.add sha256:", "applied", "user 7 at ", "email     ada@example.com", "username  @ada", "ignored: a sign-in changes no profile"} {
		require.Contains(t, r.out, part)
	}
	require.Contains(t, r.err, "Nothing was stored.")
	require.Contains(t, r.out, "Left as they are, because the event has no value for them: first_name, last_name, image_url, created_at, updated_at, last_sign_in_at.\n")

	r = run(t.Context(), map[string]string{"S": "a-secret-of-acme-that-is-long-enough"}, body, append(append([]string{"--json"}, args[:4]...),
		"-", "--webhook-signing-secret-env", "S", "--header", "x-acme-signature: 00", "--at", "2026-05-04T10:20:30Z")...)
	require.Equal(t, 1, r.status, "the receiver would refuse it: %s", r.err)
	var result preview.Result
	require.NoError(t, json.Unmarshal([]byte(r.out), &result))
	require.False(t, result.Verified.OK)
	require.Contains(t, result.Verified.Problem, "malformed")
	require.Len(t, result.Events, 2)
	require.Equal(t, "7", result.Events[0].RecordID)
	require.Equal(t, "2026-05-04T10:20:30Z", result.Events[0].EventTime.Format("2006-01-02T15:04:05Z07:00"))
}

// A wrong name in an expression, a wrong secret, and a secret with nothing to verify are seen.
func TestPreviewHidesNoMistake(t *testing.T) {
	t.Parallel()
	const body = `[{"type":"person.add","person":{"uid":7,"mail":"ada@example.com"}}]`
	dir := write(t, map[string]string{"acme.yaml": strings.Replace(acmeFile, "email: .mail", "email: .emial", 1), "body.json": body})
	args := []string{"integrations", "preview", "-f", filepath.Join(dir, "acme.yaml"), filepath.Join(dir, "body.json")}
	r := run(t.Context(), nil, "", args...)
	require.Zero(t, r.status, r.err)
	require.Contains(t, r.out, "Left as they are, because the event has no value for them: email, ")

	env := map[string]string{"S": "a-secret-of-acme-that-is-long-enough"}
	secret := append(slices.Clone(args), "--webhook-signing-secret-env", "S")
	r = run(t.Context(), env, "", append(secret, "--header", "X-Acme-Signature: "+strings.Repeat("00", 32))...)
	require.Equal(t, 1, r.status)
	require.Contains(t, r.out, "Not verified, so the receiver would answer 401: no signing secret matches.\nIf it took the request, this would be stored:\n")
	r = run(t.Context(), env, "", secret...)
	require.Equal(t, 2, r.status)
	require.Contains(t, r.err, "--webhook-signing-secret-…: a secret verifies a request by its headers: give them with --header")
}

func TestMistakesOfADefinitionHaveTheirLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"Expression": {acmeFile + "    image_url: .a[\n", "acme.yaml:19:16: this is no jq expression: it ends too early, after line 1, character 4"},
		"Column":     {acmeFile + "    emial: .a\n", `acme.yaml:19:5: unknown column "emial": did you mean "email"?`},
		"Key":        {acmeFile + "tipes: {}\n", `acme.yaml:19:1: unknown key "tipes": did you mean "types"?`},
		"Meaning":    {"signature: {scheme: svix}\ntypes: {a: user.renamed}\nrecords: {user: {id: .id}}\n", `acme.yaml:2:12: "user.renamed" is no change of a record`},
		"NoRecord":   {"signature: {scheme: svix}\ntypes: {a: user.created, b: organization.created}\nrecords: {user: {id: .id}}\n", "acme.yaml:2:29: records.organization is missing"},
		"NoID":       {"signature: {scheme: svix}\ntypes: {a: user.created}\nrecords: {user: {email: .id}}\n", "acme.yaml:3:17: id is missing"},
		"Scheme":     {"signature: {scheme: md5}\ntypes: {a: user.created}\nrecords: {user: {id: .id}}\n", `acme.yaml:1:21: scheme is "md5": must be one of standard_webhooks, svix`},
		"Setting":    {"signature: {scheme: svix, header: x}\ntypes: {a: user.created}\nrecords: {user: {id: .id}}\n", "acme.yaml:1:35: the scheme svix does not take header"},
		"Clock":      {"signature: {scheme: svix}\nevent: {time: now}\ntypes: {a: user.created}\nrecords: {user: {id: .id}}\n", "acme.yaml:2:15: this uses now, which is not there"},
		"Algorithm":  {"signature: {scheme: jwt_body, key_set_url: 'https://a.example.com', algorithms: [HS256]}\ntypes: {a: user.created}\nrecords: {user: {id: .id}}\n", "acme.yaml:1:44: HS256, HS384 and HS512 are signed with the secret"},
		"Unknown":    {"signature: {scheme: jwt_body, key_set_url: 'https://a.example.com', algorithms: [none]}\ntypes: {a: user.created}\nrecords: {user: {id: .id}}\n", `acme.yaml:1:81: "none" is not accepted with a key set`},
		"Alias":      {"signature: &a {scheme: svix}\ntypes: *a\n", "acme.yaml:1:12: anchors and aliases are not supported"},
		"Empty":      {"", "acme.yaml is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{"acme.yaml": tc.text, "body.json": "{}"})
			r := run(t.Context(), nil, "", "integrations", "preview", "-f", filepath.Join(dir, "acme.yaml"), filepath.Join(dir, "body.json"))
			require.NotZero(t, r.status)
			require.Contains(t, r.err, tc.want)
		})
	}
}

// The whole definition is replaced, and other options stay.
func TestSetWithADefinition(t *testing.T) {
	t.Parallel()
	env, last := answering(t, 200, `{"provider":"custom:acme","options":{"absent_fields":"clear","definition":{"types":{"old":"user.created"}}},"config":{}}`)
	dir := write(t, map[string]string{"acme.yaml": acmeFile})
	r := run(t.Context(), env, "", "integrations", "set", "shop", "custom:acme", "-f", filepath.Join(dir, "acme.yaml"))
	require.Zero(t, r.status, r.err)
	call := last()
	require.Equal(t, "PUT /projects/shop/integrations/custom:acme", call.call)
	options, _ := call.body["options"].(map[string]any)
	require.Equal(t, "clear", options["absent_fields"])
	definition, _ := options["definition"].(map[string]any)
	require.Equal(t, map[string]any{"person.add": "user.created", "person.drop": "user.deleted"}, definition["types"])
	r = run(t.Context(), env, "", "integrations", "set", "shop", "clerk", "-f", filepath.Join(dir, "acme.yaml"))
	require.NotZero(t, r.status)
	require.Contains(t, r.err, "-f is for a provider of your own, such as custom:clerk")
}
