package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/project"
)

// call makes a call of the API about a destination.
func (s *site) call(t *testing.T, method, path string, in any) (out map[string]json.RawMessage) {
	t.Helper()
	_, secret, err := s.Store.CreateKey(t.Context(), project.KeyInput{Name: "of a program"})
	require.NoError(t, err)
	c := client.New(s.URL, config.Secret(secret))
	defer c.Close()
	require.NoError(t, c.Do(t.Context(), method, "/projects/shop/destinations"+path, in, &out))
	return out
}

// What a form shows of options is all of them: sent back as it is, it changes nothing.
func TestFormsOfOptionsAreComplete(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type secrets map[string]string
	options := map[string]struct {
		typ     string
		options string
		secrets secrets
	}{
		"hubspot-all": {"hubspot", `{"id_property": "authsync_user_id", "properties": {"plan": ".user.raw.plan |\n  tostring", "lastname": null}, "id_path": "raw.x", "missing": "log",
			"on_delete": {"set": {"user_status": "deleted", "authsync_user_id": ""}}, "on_restore": {"set": {"user_status": "active"}}, "portal_id": "17", "tier": "professional",
			"requests_per_10s": 50, "requests_per_day": 1000, "time_zone": "Europe/Berlin", "base_url": "http://127.0.0.1:1"}`, secrets{"access_token": "pat-0123456789abcdef"}},
		"hubspot-archive": {"hubspot", `{"on_delete": "archive"}`, secrets{"access_token": "pat-0123456789abcdef"}},
		"webhook-all": {"webhook", `{"url": "http://127.0.0.1:1/", "headers": {"X-A": "b: c"}, "payload": "{a: 1,\n  b: 2}", "svix_headers": true,
			"limit": {"requests": 5, "per": "1s", "daily": 7, "zone": "Europe/Berlin", "account": "a"}}`, nil},
		"http-all": {"http", `{"requests": {"default": {"url": "http://127.0.0.1:1/{{ .record_id }}", "headers": {"X-A": "{{ 1 |\n tostring }}"}}, "organization.*": {"method": "GET", "url": "http://127.0.0.1:1/o"},
			"user.created": {"url": "http://127.0.0.1:1/", "body": "{a: \"{{\"}"}}, "idempotency_header": "", "success": ["2xx", 404], "retry": [409], "give_up": ["5xx"], "latest": true, "keep_empty": true}`, nil},
	}
	examples, err := filepath.Glob("../../docs/destinations/examples/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, examples)
	for _, path := range examples {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		one := options["webhook-all"]
		one.typ, one.options = "http", string(text)
		one.secrets = secrets{"api_key": "0123456789"}
		if !strings.Contains(one.options, `"requests": {`) {
			one.typ, one.secrets = "webhook", nil
		}
		options[strings.TrimSuffix(filepath.Base(path), ".json")] = one
	}
	for name, one := range options {
		s.call(t, http.MethodPost, "", map[string]any{
			"name": name, "type": one.typ, "options": json.RawMessage(one.options), "secrets": one.secrets, "event_types": []string{"user.deleted"}, "fields": []string{"email"},
		})
		s.exec(t, `UPDATE authsync.destinations SET state = 'paused', state_by = 'system' WHERE name = $1`, name)
		before := s.call(t, http.MethodGet, "/"+name, nil)
		require.JSONEq(t, one.options, string(before["options"]), name)
		f := s.get(t, s.path("destinations", name, "change"), s.all).form(t, "/change")
		s.do(t, f, s.all)
		after := s.call(t, http.MethodGet, "/"+name, nil)
		for _, member := range []string{"options", "secrets", "event_types", "fields", "condition", "state"} {
			require.JSONEq(t, string(before[member]), string(after[member]), "%s of %s", member, name)
		}
		// The whole form makes the same options, too.
		f.values.Set("name", name+"-2")
		f.values.Set("type", one.typ)
		n := 0
		for secret, value := range one.secrets {
			f.values.Set("secrets."+secret, value)
			f.values.Set(fmt.Sprintf("new_secret.%d.name", n), secret)
			f.values.Set(fmt.Sprintf("new_secret.%d.value", n), value)
			n++
		}
		if one.typ != "http" {
			f.values.Del("new_secret.0.name")
		}
		f.action = s.path("destinations")
		sent := s.post(t, f, s.all)
		require.Contains(t, []int{http.StatusOK, http.StatusSeeOther}, sent.status, "%s: %s", name, sent.words)
		require.JSONEq(t, strings.ReplaceAll(one.options, `"method": "POST",`, ""), string(s.call(t, http.MethodGet, "/"+name+"-2", nil)["options"]), name)
	}
}

func TestHubSpotIsSetUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.get(t, s.path("destinations", "new")+"?type=hubspot", s.all)
	require.Contains(t, page.text, `value="organization.*"`, "companies are made of organizations")
	require.NotContains(t, page.text, `value="invitation.*"`)
	create := page.form(t, "/destinations")
	create.values.Set("name", "crm")
	for _, one := range []struct{ field, value, says string }{
		{"secrets.access_token", "", "access token of a private app"},
		{"secrets.access_token", "pat-0123456789abcdef", ""},
		{"options.time_zone", "Mars", "is not known"},
		{"options.time_zone", "", ""},
		{"options.requests_per_10s", "100000", "it is from 1 to"},
		{"options.requests_per_10s", "", ""},
		{"options.properties", ".user.email", "a name, a colon and a value"},
		{"options.properties", "plan: .user.[", "no jq expression"},
		{"options.properties", "plan: .user.raw.plan\nplan: 1", "there twice"},
		{"options.properties", "plan: .user.raw.plan\nlastname:", ""},
		{"options.on_delete", "archive", ""},
		{"options.on_delete.set", "status: gone", "choose “set properties”"},
		{"options.on_delete.set", "", ""},
		{"condition", ".user.[", "no jq expression"},
		{"condition", "", ""},
		{"fields", ".raw[", "no jq expression"},
		{"fields", "nonsense", "begins with no column"},
		{"fields", "", ""},
		{"event_types", "organization.*", ""},
		{"options.id_property", "user_id", ""},
		{"options.companies.id_property", "organization_id", ""},
	} {
		create.values.Set(one.field, one.value)
		if one.says == "" {
			continue
		}
		wrong := s.post(t, create, s.all)
		require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
		require.Contains(t, wrong.fault(t, one.field), one.says)
		require.Contains(t, wrong.links("#"), "#"+one.field, "the page leads to the field")
		require.NotContains(t, wrong.text, "pat-0123456789abcdef")
	}
	create.values.Set("options.on_delete", "set")
	create.values.Set("options.on_delete.set", "status: gone")
	create.values.Set("options.companies.properties", "domain: .organization.raw.domain")
	create.values.Set("options.companies.on_delete", "set")
	create.values.Set("options.companies.on_delete.set", "status: closed")
	made := s.do(t, create, s.all)
	require.Contains(t, made.words, "HubSpot takes no test events")
	require.Empty(t, made.forms("/test#test"))
	require.Empty(t, made.forms("/rotate"))
	require.JSONEq(t, `{"id_property": "user_id", "properties": {"plan": ".user.raw.plan", "lastname": null}, "on_delete": {"set": {"status": "gone"}}, "companies":
		{"id_property": "organization_id", "properties": {"domain": ".organization.raw.domain"}, "on_delete": {"set": {"status": "closed"}}}}`, string(s.call(t, http.MethodGet, "/crm", nil)["options"]))

	taken := s.post(t, create, s.all)
	require.Equal(t, http.StatusSeeOther, taken.status, "the same form is the same destination")
	create.values.Set("condition", "true")
	taken = s.post(t, create, s.all)
	require.Equal(t, http.StatusConflict, taken.status)
	require.Contains(t, taken.text, `role="alert"`)
	require.Equal(t, "crm", taken.form(t, "/destinations").values.Get("name"))
}
