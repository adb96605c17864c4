package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
)

// operation is one call as docs/openapi.yaml describes it, on things that exist.
type operation struct {
	method, path string
	query        map[string]object // schemas of the parameters
	body         object            // properties of the body; nil: it takes none
}

// operations lists all calls of the management API.
func operations(t *testing.T, b *testBundle) []operation {
	t.Helper()
	shop := b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	event := b.deliver(t, shop, inbox.Applied, "user_1", []byte(`{}`))
	b.deliveries.stored = []admin.Delivery{{ID: 1, State: "ready", EventType: "user.created", Changed: []string{"email"}}}
	key := b.call(t, http.MethodPost, "/keys", `{"name": "x"}`)
	erasure := b.call(t, http.MethodPost, "/projects/shop/users/user_9/erase", `{"confirm": "user_9"}`)
	fill := strings.NewReplacer("{project}", "shop", "{provider}", "clerk", "{event}", event, "{user}", "user_1",
		"{destination}", "app", "{delivery}", "1", "{key}", fmt.Sprint(key.body["id"]), "{record_type}", "membership", "{record_id}", "org_1%2Fuser_1",
		"{erasure}", fmt.Sprint(erasure.body["id"]))

	doc := description(t)
	m := matcher{doc: doc}
	paths, ok := at(t, doc, "paths").(object)
	require.True(t, ok)
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(object)
		for method, described := range item {
			one, isOperation := described.(object)
			if !isOperation || one["operationId"] == "receiveWebhook" {
				continue
			}
			o := operation{method: strings.ToUpper(method), path: fill.Replace(path), query: map[string]object{}}
			require.NotContains(t, o.path, "{", "a path on things that exist")
			for _, p := range listed(one["parameters"]) {
				parameter, _ := p.(object)
				if parameter = m.resolve(parameter); parameter["in"] == "query" {
					schema, _ := parameter["schema"].(object)
					o.query[fmt.Sprint(parameter["name"])] = m.resolve(schema)
				}
			}
			if body, takesBody := one["requestBody"].(object); takesBody {
				body = m.resolve(body)
				schema, _ := at(t, body, "content", "application/json", "schema").(object)
				o.body, _ = m.merged(schema)["properties"].(object)
				require.NotEmpty(t, o.body, "%s %s", method, path)
			}
			all = append(all, o)
		}
	}
	require.Greater(t, len(all), 35)
	return all
}

// invalid asserts that a call is refused for one thing that was sent.
func (a reply) invalid(t *testing.T, in, field, code string) {
	t.Helper()
	require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
	require.Equal(t, "invalid_request", a.body["code"], a.text)
	faults, ok := a.body["errors"].([]any)
	require.True(t, ok, a.text)
	for _, one := range faults {
		fault, _ := one.(object)
		require.NotEmpty(t, fault["detail"])
		if fault["in"] == in && fault["field"] == field && fault["code"] == code {
			return
		}
	}
	require.Fail(t, "no such entry", "%s %s %s: %s", in, field, code, a.text)
}

// Every call has one answer to each kind of mistake: the mechanism is not left to its handler.
func TestEveryCallRefusesMistakesAlike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, o := range operations(t, b) { //nolint:paralleltest // one after another: a call for a project may be refused for others at work
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			good := ""
			if o.body != nil {
				good = "{}"
			}
			b.call(t, o.method, o.path+"?colour=red", good).invalid(t, "query", "colour", "unknown")
			b.call(t, o.method, o.path+"?colour=red&taste=sour", good).invalid(t, "query", "taste", "unknown")
			b.call(t, o.method, o.path+"?x=%zz", good).refused(t, http.StatusBadRequest, "percent-encode")
			for name, schema := range o.query {
				b.call(t, o.method, o.path+"?"+name+"=1&"+name+"=1", good).invalid(t, "query", name, "repeated")
				if name != "cursor" {
					b.call(t, o.method, o.path+"?"+name+"=", good).invalid(t, "query", name, "invalid")
				}
				if schema["type"] != "string" || schema["enum"] != nil || schema["format"] != nil {
					b.call(t, o.method, o.path+"?"+name+"=nonsense", good).invalid(t, "query", name, "invalid")
				}
			}
			if o.method == http.MethodGet {
				return
			}
			if o.body == nil {
				b.call(t, o.method, o.path, `{"dry_run": true}`).invalid(t, "body", "dry_run", "unknown")
				return
			}
			for _, unreadable := range []string{"{", "[]", `"x"`, "null", "{} {}", "{\"a\": \"\xff\"}"} {
				answer := b.call(t, o.method, o.path, unreadable)
				require.Equal(t, http.StatusBadRequest, answer.status, unreadable)
				require.Equal(t, "malformed_request", answer.body["code"])
			}
			b.call(t, o.method, o.path, `{"colour": "red", "taste": 1}`).invalid(t, "body", "taste", "unknown")
			m := matcher{doc: description(t)}
			for name, property := range o.body {
				schema, _ := property.(object)
				for wrong, value := range map[string]any{"number": 1.5, "boolean": true, "string": "x", "array": []any{}, "object": object{}} {
					if len(m.faults("", schema, value)) == 0 || name == "options" || name == "credentials" { // these have handlers of their own
						continue
					}
					if types := listed(m.merged(schema)["type"]); slices.Contains(types, any(wrong)) || len(types) == 0 {
						continue // of the right type, but wrong
					}
					body, err := json.Marshal(map[string]any{name: value})
					require.NoError(t, err)
					b.call(t, o.method, o.path, string(body)).invalid(t, "body", name, "wrong_type")
				}
				if slices.Contains(listed(m.merged(schema)["type"]), any("string")) {
					b.call(t, o.method, o.path, `{"`+name+`": "a\u0000b"}`).invalid(t, "body", name, "invalid")
				}
			}
		})
	}
}

// A parameter is spelled the same way wherever it is.
func TestParametersHaveOneSpelling(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, o := range operations(t, b) {
		for _, name := range append(slices.Collect(maps.Keys(o.query)), slices.Collect(maps.Keys(o.body))...) {
			require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, name, "%s %s", o.method, o.path)
			for _, other := range []string{"from", "to", "before", "after", "page", "per_page", "user", "event", "start", "end"} {
				require.NotEqual(t, other, name, "%s %s: since, until, limit, cursor, user_id, event_id", o.method, o.path)
			}
		}
	}
}

func TestSeveralMistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := b.call(t, http.MethodPost, "/projects", `{"title": "x", "name": 5, "database_url": []}`)
	answer.refused(t, http.StatusUnprocessableEntity, "(and 2 more: see errors)")
	answer.invalid(t, "body", "title", "unknown")
	answer.invalid(t, "body", "name", "wrong_type")
	answer.invalid(t, "body", "database_url", "wrong_type")
}

// Otherwise a key without the right to force could hide it behind one that does not.
func TestAKeyIsGivenOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := b.call(t, http.MethodPost, "/projects", `{"name": "a", "name": "b"}`)
	answer.refused(t, http.StatusUnprocessableEntity, `"name" is given more than once: give it once`)
	answer.invalid(t, "body", "name", "repeated")
	b.project(t, "shop")
	answer = b.call(t, http.MethodPost, "/projects/shop/destinations", `{"name": "x", "type": "http", "options": {"requests": {
		"default": {"url": "https://a.example", "u\u0072l": "https://b.example"}, "user.created": {"url": "https://c.example"}},
		"success": [200, {"a": [[1], {"b": 1e999, "b": 2}], "c": {}}], "a": 1}, "type": "http", "type": "http"}`)
	answer.refused(t, http.StatusUnprocessableEntity, "(and 2 more: see errors)")
	answer.invalid(t, "body", "options.requests.default.url", "repeated")
	answer.invalid(t, "body", "options.success[1].a[1].b", "repeated")
	answer.invalid(t, "body", "type", "repeated")
}

func TestErrorsNameTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	b.destination(t, "/projects/shop", "app")
	for name, tc := range map[string]struct{ method, path, body, field string }{ //nolint:paralleltest // one after another, likewise
		"ProjectName":      {"POST", "/projects", `{"name": "A B"}`, "name"},
		"ProjectURL":       {"POST", "/projects", `{"name": "a", "database_url": "mysql://x"}`, "database_url"},
		"ProjectEmptyURL":  {"POST", "/projects", `{"name": "a", "database_url": ""}`, "database_url"},
		"ProjectAdopt":     {"POST", "/projects", `{"name": "a", "adopt": true}`, "adopt"},
		"ProjectNoChange":  {"PATCH", "/projects/shop", `{}`, "name"},
		"ProjectRename":    {"PATCH", "/projects/shop", `{"name": "-"}`, "name"},
		"Credential":       {"PUT", "/projects/shop/integrations/clerk", `{"credentials": {"secret": "x"}}`, "credentials.secret"},
		"CredentialType":   {"PUT", "/projects/shop/integrations/clerk", `{"credentials": {"secret_key": 1}}`, "credentials.secret_key"},
		"CredentialValue":  {"PUT", "/projects/shop/integrations/better_auth", `{"credentials": {"webhook_signing_secret": " x "}}`, "credentials.webhook_signing_secret"},
		"CredentialOfMany": {"PUT", "/projects/shop/integrations/auth0", `{"credentials": {"webhook_signing_secret": ["a good long secret", "Bearer "]}}`, "credentials.webhook_signing_secret"},
		"CredentialTarget": {"PUT", "/projects/shop/integrations/auth0", `{"credentials": {"domain": "10.0.0.1"}}`, "credentials.domain"},
		"Option":           {"PUT", "/projects/shop/integrations/clerk", `{"options": {"colour": 1}}`, "options.colour"},
		"OptionValue":      {"PUT", "/projects/shop/integrations/clerk", `{"options": {"absent_fields": "maybe"}}`, "options.absent_fields"},
		"OptionInner":      {"PUT", "/projects/shop/integrations/clerk", `{"options": {"reconcile": {"every": "often"}}}`, "options.reconcile.every"},
		"DestinationType":  {"POST", "/projects/shop/destinations", `{"name": "x", "type": "fax"}`, "type"},
		"DestinationSince": {"POST", "/projects/shop/destinations", `{"name": "x", "type": "webhook", "since": "yore"}`, "since"},
		"DestinationURL":   {"POST", "/projects/shop/destinations", `{"name": "x", "type": "webhook", "options": {"url": "https://10.0.0.1"}}`, "options.url"},
		"Condition":        {"PATCH", "/projects/shop/destinations/app", `{"condition": "` + strings.Repeat("x", 40_000) + `"}`, "condition"},
		"PauseReason":      {"POST", "/projects/shop/destinations/app/pause", `{"reason": "` + strings.Repeat("x", 600) + `"}`, "reason"},
		"Test":             {"POST", "/projects/shop/destinations/app/preview", `{}`, "user_id"},
		"Replay":           {"POST", "/projects/shop/destinations/app/replay", `{}`, "state"},
		"ReplayUntil":      {"POST", "/projects/shop/destinations/app/replay", `{"until": "later"}`, "until"},
		"EventsOutcome":    {"POST", "/projects/shop/events/replay", `{"outcome": "lost"}`, "outcome"},
		"EventsProvider":   {"POST", "/projects/shop/events/replay", `{"provider": "okta"}`, "provider"},
		"EventsUntil":      {"POST", "/projects/shop/events/replay", `{"since": "2026-05-04T10:00:00Z", "until": "2026-05-04T09:00:00Z"}`, "until"},
		"RefreshProvider":  {"POST", "/projects/shop/users/u/refresh", `{"provider": "okta"}`, "provider"},
		"GrantRole":        {"POST", "/projects/shop/grants", `{"role": "nobody"}`, "role"},
		"GrantNoRole":      {"POST", "/projects/shop/grants", `{}`, "role"},
		"KeyName":          {"POST", "/keys", `{"name": " "}`, "name"},
		"KeyProject":       {"POST", "/keys", `{"name": "x", "project_id": "gone"}`, "project_id"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := b.call(t, tc.method, tc.path, tc.body)
			require.Equal(t, http.StatusUnprocessableEntity, answer.status, answer.text)
			faults, _ := answer.body["errors"].([]any)
			require.Len(t, faults, 1, answer.text)
			fault, _ := faults[0].(object)
			require.Equal(t, tc.field, fault["field"], answer.text)
			require.Equal(t, "body", fault["in"])
		})
	}
}

func TestDescriptionListsEachCode(t *testing.T) {
	t.Parallel()
	var codes []any
	for _, file := range []string{"codes.go", "../fault/fault.go"} {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(`Code = "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
			codes = append(codes, found[1])
			require.Contains(t, api.Statuses(), found[1])
		}
	}
	require.Greater(t, len(codes), 30)
	require.ElementsMatch(t, at(t, description(t), "components", "schemas", "ProblemCode", "enum"), codes)
}

func TestDescriptionIsServedToAnybody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, api.Prefix+path, http.NoBody))
		require.Equal(t, http.StatusOK, w.Code)
		return w
	}
	asYAML, asJSON := get("/openapi.yaml"), get("/openapi.json")
	require.Equal(t, "application/yaml", asYAML.Header().Get("Content-Type"))
	require.Equal(t, "application/json", asJSON.Header().Get("Content-Type"))
	var fromYAML, fromJSON object
	require.NoError(t, yaml.Unmarshal(asYAML.Body.Bytes(), &fromYAML))
	require.NoError(t, json.Unmarshal(asJSON.Body.Bytes(), &fromJSON))
	require.Equal(t, "3.1.0", fromJSON["openapi"])
	again, err := json.Marshal(fromYAML)
	require.NoError(t, err)
	require.JSONEq(t, asJSON.Body.String(), string(again))
	require.Equal(t, http.StatusMethodNotAllowed, b.call(t, http.MethodPost, "/openapi.json", "").status)
}

func TestUsersAreListedAndFoundByEmail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	for i := range 5 {
		email := fmt.Sprintf("u%d@example.com", i%2)
		b.mirror.users = append(b.mirror.users, listedUser(fmt.Sprintf("auth0|%d", i), email))
	}
	var ids []any
	for path := "/projects/shop/users?limit=2"; path != ""; {
		answer := b.call(t, http.MethodGet, path, "")
		mustMatch(t, description(t), "GET", "/projects/{project}/users", answer)
		for _, one := range answer.data(t) {
			user, _ := one.(object)
			ids = append(ids, user["id"])
		}
		path = ""
		if next := answer.next(t); next != "" {
			path = "/projects/shop/users?limit=2&cursor=" + url.QueryEscape(next)
		}
	}
	require.Equal(t, []any{"auth0|0", "auth0|1", "auth0|2", "auth0|3", "auth0|4"}, ids)
	require.Len(t, b.call(t, http.MethodGet, "/projects/shop/users?email=u1@example.com", "").data(t), 2)
	require.Empty(t, b.call(t, http.MethodGet, "/projects/shop/users?email=nobody@example.com", "").data(t))
	require.NotContains(t, b.log.String(), "example.com", "an address is not logged")
}

// Lists that are read whole come in pages all the same.
func TestShortListsComeInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	for _, name := range []string{"a", "b", "c"} {
		b.destination(t, "/projects/shop", name)
	}
	first := b.call(t, http.MethodGet, "/projects/shop/destinations?limit=2", "")
	require.Len(t, first.data(t), 2)
	second := b.call(t, http.MethodGet, "/projects/shop/destinations?limit=2&cursor="+first.next(t), "")
	require.Len(t, second.data(t), 1)
	require.Empty(t, second.next(t))
}

func listedUser(id, email string) mirror.Listed { return mirror.Listed{ID: id, Email: &email} }
