package dashboard_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// formWith is the form of a page whose hidden field form has a value.
func (p *page) formWith(t *testing.T, value string) form {
	t.Helper()
	for _, f := range p.forms("") {
		if f.values.Get("form") == value {
			return f
		}
	}
	require.Fail(t, "no such form", "%s in %s", value, p.text)
	return form{}
}

// step is the state and the text of a step of the checklist.
func (p *page) step(t *testing.T, title string) string {
	t.Helper()
	_, after, found := strings.Cut(p.text, "<strong>"+title+"</strong>")
	require.True(t, found, "%s", p.text)
	before, _, _ := strings.Cut(p.text, "<strong>"+title+"</strong>")
	state := before[strings.LastIndex(before, `<li class="`)+len(`<li class="`):]
	state, _, _ = strings.Cut(state, `"`)
	words, _, _ := strings.Cut(after, "</li>")
	return state + ": " + words
}

const (
	urlStep     = "Enter the webhook URL at Clerk"
	secretStep  = "Store the signing secret"
	messageStep = "Receive messages"
	rowStep     = "See the first row"
)

func TestAProviderIsConnectedStepByStep(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.NoError(t, s.Store.DeleteIntegration(t.Context(), s.shop.ID, provider.Clerk))
	overview := s.get(t, s.path(), s.all)
	require.Equal(t, []string{s.path("integrations", "auth0"), s.path("integrations", "clerk"), s.path("integrations", "better_auth")},
		overview.links(s.path("integrations"))[:3])
	clerk := s.get(t, s.path("integrations", "clerk"), s.all)
	clerk = s.do(t, clerk.formWith(t, "connect"), s.all)
	require.Contains(t, clerk.notice(t), "Clerk is connected")
	require.Contains(t, clerk.words, "/integrations/clerk/webhook/"+s.shop.ID.String())
	require.Contains(t, clerk.step(t, secretStep), "waiting: ")
	require.Contains(t, clerk.step(t, messageStep), "waiting: ")

	refused := clerk.formWith(t, "secret")
	refused.values.Set("secret", "no secret of Clerk")
	again := s.post(t, refused, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, again.status)
	require.Contains(t, again.text, `aria-invalid="true"`)
	require.NotContains(t, again.text, "no secret of Clerk")

	// A wrong one is found on this page.
	wrong := clerk.formWith(t, "secret")
	clerk = s.do(t, wrong, s.all, "secret", "whsec_YW5vdGhlciBzaWduaW5nIHNlY3JldCBlbnRpcmVseQ==")
	require.Contains(t, clerk.step(t, secretStep), "done: ")
	require.Equal(t, http.StatusUnauthorized, s.try(t, provider.Sample{Type: "user.created", UserID: "user_1", At: time.Now()}))
	waittest.Until(t, func() bool {
		clerk = s.get(t, s.path("integrations", "clerk"), s.all)
		return strings.Contains(clerk.step(t, messageStep), "failed: ")
	})
	require.Contains(t, clerk.step(t, messageStep), "The newest request was rejected.")
	require.Contains(t, clerk.step(t, urlStep), "done: ")
	require.Contains(t, clerk.words, "signature_mismatch")

	clerk = s.do(t, clerk.formWith(t, "secret"), s.all, "secret", sitetest.ClerkSecret)
	require.Contains(t, clerk.step(t, secretStep), "2 secrets are accepted.")
	waittest.Until(t, func() bool {
		return s.try(t, provider.Sample{Type: "user.created", UserID: "user_1", At: time.Now()}) == http.StatusNoContent
	}, "the receiver has the new secret")
	waittest.Until(t, func() bool {
		clerk = s.get(t, s.path("integrations", "clerk"), s.all)
		return strings.Contains(clerk.step(t, rowStep), "done: ")
	})
	require.Contains(t, clerk.step(t, messageStep), "done: ")
	require.Contains(t, clerk.text, `<code class="copy">`+provider.SecretName(sitetest.ClerkSecret)+`</code></th><td>accepted, the newest</td>`+"\n<td>1</td>", "which of the two is used")
	event := s.get(t, clerk.links(s.path("events") + "/")[0], s.all)
	require.Contains(t, event.words, "svix "+provider.SecretName(sitetest.ClerkSecret))
	require.Contains(t, clerk.links(s.path("records")), s.path("records", "user", "user_1"))

	clerk = s.do(t, clerk.formWith(t, "newest"), s.all)
	stored, _, err := s.Store.Credentials(t.Context(), s.shop.ID, provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{sitetest.ClerkSecret}, stored.WebhookSigningSecret)

	// Reading users needs a key.
	read := s.post(t, clerk.form(t, "/runs/backfill"), s.all)
	require.Equal(t, http.StatusUnprocessableEntity, read.status)
	require.Contains(t, read.words, "secret_key")

	gone := s.do(t, clerk.form(t, "/delete"), s.all)
	require.Contains(t, gone.notice(t), "deleted")
	require.Equal(t, http.StatusNotFound, s.post(t, clerk.form(t, "/delete"), s.all).status)
}

func TestOptionsAreStoredAndOthersStay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, err := s.Store.PutIntegration(t.Context(), s.shop.ID, provider.Auth0, nil, json.RawMessage(`{"reconcile": {"max_deleted_percent": 7, "every": "5h"}}`))
	require.NoError(t, err)
	page := s.get(t, s.path("integrations", "auth0"), s.all)
	f := page.formWith(t, "options")
	require.Equal(t, "5h", f.values.Get("every"), "one that the form does not offer stays")
	require.True(t, f.values.Has("organizations"))
	f.values.Del("organizations")
	f.values.Set("sessions", "yes")
	f.values.Set("absent_fields", "clear")
	s.do(t, f, s.all, "every", "12h")
	stored, err := s.Store.FindIntegration(t.Context(), s.shop.ID, provider.Auth0)
	require.NoError(t, err)
	seven := 7.0
	require.Equal(t, provider.Options{
		RecordTypes: []string{"users", "sessions"}, AbsentFields: provider.ClearAbsent,
		Reconcile: &provider.ReconcileOptions{Every: "12h", MaxDeletedPercent: &seven},
	}, stored.Options)
	page = s.get(t, s.path("integrations", "auth0"), s.all)
	f = page.formWith(t, "options")
	require.False(t, f.values.Has("organizations"))
	bad := s.post(t, form{f.action, map[string][]string{"form": {"options"}, "every": {hostile}}}, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, bad.status)
	require.Contains(t, bad.words, "options.reconcile.every")
}

func TestASecretIsGeneratedAndShownOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.get(t, s.path("integrations", "better_auth"), s.all)
	page = s.do(t, page.formWith(t, "connect"), s.all)
	f := page.formWith(t, "secret")
	f.values.Set("do", "generate")
	made := s.post(t, f, s.all)
	require.Equal(t, http.StatusOK, made.status)
	stored, _, err := s.Store.Credentials(t.Context(), s.shop.ID, provider.BetterAuth)
	require.NoError(t, err)
	secret := string(stored.WebhookSigningSecret[0])
	require.Contains(t, made.words, secret)
	page = s.get(t, s.path("integrations", "better_auth"), s.all)
	require.NotContains(t, page.words, secret)
	require.Contains(t, page.words, "AUTHSYNC_WEBHOOK_URL=http")

	ways := page.forms("/integrations/better_auth")
	for _, way := range ways {
		if !way.values.Has("credential.session_token") {
			continue
		}
		way.values.Set("credential.session_token", "a token of a session")
		way.values.Set("option.base_url", "nonsense "+hostile)
		wrong := s.post(t, way, s.all)
		require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
		require.NotContains(t, wrong.text, "a token of a session")
		for _, shown := range wrong.forms("/integrations/better_auth") {
			if shown.values.Has("option.base_url") {
				require.Equal(t, "nonsense "+hostile, shown.values.Get("option.base_url"), "what was entered is still there")
			}
		}
	}
}

// The secret belongs to the form: sent again, after a double click or an answer that was lost, it stores the same one, and
// shown again with what is wrong with it, it still offers that one.
func TestASecretIsGeneratedOnceForAForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.get(t, s.path("integrations", "better_auth"), s.all)
	f := s.do(t, page.formWith(t, "connect"), s.all).formWith(t, "secret")
	offered := f.values.Get("offered")
	require.NotEmpty(t, offered)
	f.values.Set("do", "store")
	f.values.Set("secret", "too short")
	wrong := s.post(t, f, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	f = wrong.formWith(t, "secret")
	require.Equal(t, offered, f.values.Get("offered"))

	f.values.Set("do", "generate")
	f.values.Set("others", "keep")
	first, second := s.post(t, f, s.all), s.post(t, f, s.all)
	require.Equal(t, secretIn(t, first), secretIn(t, second))
	require.NotEqual(t, offered, second.formWith(t, "secret").values.Get("offered"), "the next one is another")
	stored, _, err := s.Store.Credentials(t.Context(), s.shop.ID, provider.BetterAuth)
	require.NoError(t, err)
	require.Equal(t, secretIn(t, first), string(stored.WebhookSigningSecret[0]))
	require.Len(t, stored.WebhookSigningSecret, 1)

	f.values.Set("offered", s.all.Value)
	require.Equal(t, http.StatusBadRequest, s.post(t, f, s.all).status, "no other sealed text is taken for a secret")
}

// No later page has the secret.
func TestAGeneratedSecretIsShownWithoutTheRest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.get(t, s.path("integrations", "better_auth"), s.all)
	f := s.do(t, page.formWith(t, "connect"), s.all).formWith(t, "secret")
	f.values.Set("do", "generate")
	s.exec(t, `ALTER TABLE authsync.rejected_requests RENAME COLUMN detail TO lost`)
	made := s.post(t, f, s.all)
	stored, _, err := s.Store.Credentials(t.Context(), s.shop.ID, provider.BetterAuth)
	require.NoError(t, err)
	require.Contains(t, made.words, string(stored.WebhookSigningSecret[0]))
}

// Whoever drops the others has seen the newest secret in use, and not one that was added since.
func TestOnlyTheNewestSecretThatWasSeenIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	clerk := s.get(t, s.path("integrations", "clerk"), s.all)
	const second, third = "whsec_YW5vdGhlciBzaWduaW5nIHNlY3JldCBlbnRpcmVseQ==", "whsec_YSB0aGlyZCBzaWduaW5nIHNlY3JldCBvZiB0aGUgdGVzdA=="
	seen := s.do(t, clerk.formWith(t, "secret"), s.all, "secret", second)
	s.do(t, seen.formWith(t, "secret"), s.all, "secret", third)
	refused := s.post(t, seen.formWith(t, "newest"), s.all)
	require.Equal(t, http.StatusConflict, refused.status)
	require.Contains(t, refused.words, "Another secret was stored meanwhile")
	stored, _, err := s.Store.Credentials(t.Context(), s.shop.ID, provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{third, second, sitetest.ClerkSecret}, stored.WebhookSigningSecret)
	s.do(t, s.get(t, s.path("integrations", "clerk"), s.all).formWith(t, "newest"), s.all)
	stored, _, err = s.Store.Credentials(t.Context(), s.shop.ID, provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{third}, stored.WebhookSigningSecret)
}

func TestTheSnippetIsThatOfThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/providers/better-auth.md")
	require.NoError(t, err)
	snippet, err := os.ReadFile("pages/better-auth.ts")
	require.NoError(t, err)
	require.Contains(t, string(page), "```ts\n"+string(snippet)+"```\n")
}

// A provider of one's own is described, tried and connected in the browser, and its definition changed there.
func TestADefinitionIsWrittenInTheBrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	overview := s.get(t, s.path(), s.all)
	name := overview.form(t, "GET "+s.path("integrations"))
	require.Equal(t, http.StatusUnprocessableEntity, s.get(t, s.path("integrations")+"?name=9", s.all).status)
	led := s.get(t, strings.TrimPrefix(name.action, "GET ")+"?name=acme", s.all)
	require.Equal(t, http.StatusSeeOther, led.status)
	here := s.path("integrations", "custom:acme")
	require.Equal(t, here, led.header.Get("Location"))

	page := s.get(t, here, s.all)
	form := page.formWith(t, "connect")
	require.Contains(t, form.values.Get("definition"), "title: Acme ID")
	form.values.Set("definition", "title: Acme\nsignature: {scheme: svx}\n")
	refused := s.post(t, form, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.words, "line:2:")
	require.Contains(t, refused.formWith(t, "connect").values.Get("definition"), "scheme: svx", "what was entered is kept")

	definition := "title: Acme\nsignature:\n  scheme: svix\nevent:\n  type: .kind\ntypes:\n  \"on\": user.created # of theirs\nrecords:\n  user:\n    id: .id\n    email: .mail\n"
	form.values.Set("definition", definition)
	form.values.Set("body", `{"kind": "on", "id": "u1", "mail": "<script>ada@example.com"}`)
	form.values.Set("do", "preview")
	tried := s.post(t, form, s.all)
	require.Equal(t, http.StatusOK, tried.status)
	for _, words := range []string{"What would be stored", "ada@example.com", "user u1", "applied"} {
		require.Contains(t, tried.words, words)
	}
	require.Equal(t, http.StatusOK, s.get(t, here, s.all).status)
	_, _, err := s.Store.Credentials(t.Context(), s.shop.ID, "custom:acme")
	require.Error(t, err, "nothing is stored")

	form.values.Set("do", "store")
	page = s.do(t, form, s.all)
	require.Contains(t, page.words, "is connected")
	s.do(t, page.formWith(t, "options"), s.all, "sessions", "yes")
	edit := s.get(t, here, s.all).formWith(t, "definition")
	require.Equal(t, "title: Acme\nsignature:\n  scheme: svix\nevent:\n  type: .kind\ntypes:\n  on: user.created\nrecords:\n  user:\n    email: .mail\n    id: .id\n",
		strings.TrimPrefix(edit.values.Get("definition"), "\n"), "as people write it")
	page = s.do(t, edit, s.all, "definition", edit.values.Get("definition")+"    username: .nick\n", "do", "store")
	require.Contains(t, page.notice(t), "The definition is stored")
	_, options, err := s.Store.Credentials(t.Context(), s.shop.ID, "custom:acme")
	require.NoError(t, err)
	require.JSONEq(t, `{"title": "Acme", "signature": {"scheme": "svix"}, "event": {"type": ".kind"}, "types": {"on": "user.created"},
		"records": {"user": {"id": ".id", "email": ".mail", "username": ".nick"}}}`, string(options.Definition))
	require.Contains(t, options.RecordTypes, provider.MirrorSessions, "the other options stay")

	reader := s.get(t, here, s.enter(t, project.KeyInput{Name: "reader", Role: project.ReadOnly}))
	require.Contains(t, reader.words, "username: .nick")
	require.Empty(t, reader.forms(here))
}

// What the form begins with is a definition.
func TestTheFirstDefinitionIsOne(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("pages/definition.yaml")
	require.NoError(t, err)
	_, err = custom.ReadFile("definition.yaml", text)
	require.NoError(t, err)
}

// A provider that a definition describes has steps of its own, and nothing is read from it. Options that have no field stay.
func TestAProviderThatADefinitionDescribes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	page := s.do(t, s.get(t, s.path("integrations", "workos"), s.all).formWith(t, "connect"), s.all)
	require.Contains(t, page.words, "Open the dashboard of WorkOS, and add a webhook.")
	require.NotContains(t, page.words, "Better Auth")

	definition := `{"signature": {"scheme": "svix"}, "types": {"user.created": "user.created"}, "records": {"user": {"id": ".id"}}}`
	_, err := s.Store.PutIntegration(t.Context(), s.shop.ID, "custom:acme", nil, json.RawMessage(`{"definition": `+definition+`}`))
	require.NoError(t, err)
	page = s.get(t, s.path("integrations", "custom:acme"), s.all)
	for _, words := range []string{"Reading users who exist already", "Read the users who exist", "Reading and comparing", "Compare"} {
		require.NotContains(t, page.words, words, "none of its users can be read")
	}
	require.Empty(t, page.forms("/runs/backfill"))
	s.do(t, page.formWith(t, "options"), s.all, "absent_fields", "clear")
	_, options, err := s.Store.Credentials(t.Context(), s.shop.ID, "custom:acme")
	require.NoError(t, err)
	require.Equal(t, provider.ClearAbsent, options.AbsentFields)
	require.JSONEq(t, definition, string(options.Definition))
}

// Pulling is turned on by a box, and the page says how it is going.
func TestPullIsTurnedOnAndShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, err := s.Store.PutIntegration(t.Context(), s.shop.ID, provider.Auth0, map[string]json.RawMessage{
		"domain": json.RawMessage(`"shop.eu.auth0.com"`), "client_id": json.RawMessage(`"c"`), "client_secret": json.RawMessage(`"s"`),
	}, json.RawMessage(`{"base_url": "http://127.0.0.1:1"}`)) // where nobody answers
	require.NoError(t, err)
	page := s.get(t, s.path("integrations", "auth0"), s.all)
	require.NotContains(t, page.words, "Pulled events")
	f := page.formWith(t, "options")
	require.False(t, f.values.Has("pull"))
	f.values.Set("pull", "yes")
	s.do(t, f, s.all)
	waittest.Until(t, func() bool {
		page = s.get(t, s.path("integrations", "auth0"), s.all)
		return strings.Contains(page.words, "failing")
	})
	require.Contains(t, page.words, "Pulled events")
	require.Contains(t, page.words, "get a token of Auth0")
	require.Contains(t, page.words, "Not needed: events are pulled.")
	require.True(t, page.formWith(t, "options").values.Has("pull"))
}
