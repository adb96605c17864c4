package browsertest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// createProject has a person fill in the form, and gives the id of the project.
func (b *tab) createProject(name, databaseURL string) (id string) {
	b.t.Helper()
	b.open("/")
	b.press(`//a[.="Create a project"]`)
	b.fill("#name", name)
	b.fill("#database_url", databaseURL)
	b.press(`//button[.="Create the project"]`)
	require.Contains(b.t, b.words("main h1"), name)
	return b.words("main .facts code.copy")
}

// stays marks a page, and gives what is true as long as it is not left or loaded anew.
func (b *tab) stays() string {
	b.t.Helper()
	b.do(chromedp.Evaluate("window.marked = true", nil))
	return "window.marked === true"
}

// stepIs is true of a page on which a step of the checklist is in a state.
func stepIs(title, state string) string {
	return `[...document.querySelectorAll("#steps-section li.` + state + `")].some((step) => step.innerText.includes("` + title + `"))`
}

const (
	secretStep  = "Store the signing secret"
	messageStep = "Receive messages"
	rowStep     = "See the first row"
)

// signingSecret is one that the provider could sign with, in the form that its page asks for.
func signingSecret(t *testing.T, name string) string {
	t.Helper()
	kind, err := registry.Lookup(name)
	require.NoError(t, err)
	for _, secret := range []string{sitetest.ClerkSecret, "a secret of a provider: 5b0b3c0f9a7d4e21"} {
		if _, _, err = kind.Sign(created(t, name), provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(secret)}}, provider.Options{}, time.Now()); err == nil {
			return secret
		}
	}
	require.NoError(t, err)
	return ""
}

// created is the event of a new user, of the first type of the provider for that.
func created(t *testing.T, name string) provider.Sample {
	t.Helper()
	sample := provider.Sample{Type: "user.created", UserID: "user_of_" + name, At: time.Now()}
	if types := custom.PresetTypes(name); types != nil {
		text, err := custom.Preset(name)
		require.NoError(t, err)
		definition, err := custom.ReadFile(name, []byte(text))
		require.NoError(t, err)
		for _, one := range types {
			if definition.Types[one] == "user.created" {
				sample.Type = one
			}
		}
	}
	return sample
}

// Each provider that there is, also those whose definition is built in, is connected by its own page, from the first click to
// the first row.
func TestEachProviderIsConnected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.admin()
	id := first.createProject("shop", pgtest.URL(t, s.Mirror))
	key := s.Key(t, project.KeyInput{Name: "Ada’s laptop"})
	for _, name := range slices.Concat(provider.Names(), provider.Presets()) {
		t.Run(name, func(t *testing.T) {
			b := first.anotherFor(t)
			t.Parallel()
			b.leaves(chromedp.Navigate(b.base + "/sign-in"))
			b.fill("#key", key)
			b.walk(`//button[.="Sign in"]`)
			b.connects(s, id, name)
		})
	}
}

// connects has a person connect a provider, and sees the page tick itself.
func (b *tab) connects(s *site, projectID, name string) {
	b.t.Helper()
	title := provider.Title(name)
	urlStep := "Enter the webhook URL at " + title
	b.leaves(chromedp.Navigate(b.base + pathOf(projectID)))
	b.walk(`//a[.="` + title + `"]`)
	if get[bool](b, `document.querySelector("#base-url") !== null`) {
		b.connectsByKeySet(s, projectID, name)
		return
	}
	b.walk(`//button[.="Connect ` + title + `"]`)
	for _, step := range []string{urlStep, secretStep, messageStep, rowStep} {
		b.until(stepIs(step, "waiting"))
	}
	require.Contains(b.t, b.words("#webhook + p"), b.base+"/api/capydb/v1/integrations/")

	secret := signingSecret(b.t, name)
	if get[bool](b, `document.querySelector('button[value="generate"]') !== null`) {
		b.walk(`//button[.="Generate one instead"]`)
		secret = b.words(".notice code.copy")
	} else {
		b.fill("#secret-value", secret)
		b.walk(`//button[.="Store"]`)
	}
	b.until(stepIs(secretStep, "done"))
	b.until(stepIs(messageStep, "waiting"))
	b.until(stepIs(rowStep, "waiting"))
	stays := b.stays()

	sample := created(b.t, name)
	s.send(projectID, name, sample, secret)
	for _, step := range []string{urlStep, secretStep, messageStep, rowStep} {
		b.until(stepIs(step, "done"))
	}
	b.until(stays)
	b.look()
	b.walk(`//li[contains(., "` + rowStep + `")]/a`)
	require.Contains(b.t, b.words("main h1"), sample.UserID)
}

// connectsByKeySet does so with a provider that publishes its keys at the customer's own address there.
func (b *tab) connectsByKeySet(s *site, projectID, name string) {
	b.t.Helper()
	title, userID := provider.Title(name), "user_of_"+name
	publishes := newIssuer(b.t)
	b.fill("#base-url", publishes.url)
	b.walk(`//button[.="Connect ` + title + `"]`)
	b.until(stepIs("Know the keys of "+title, "done"))
	b.until(stepIs(messageStep, "waiting"))
	stays := b.stays()

	publishes.send(b.t, s, projectID, name, userID)
	for _, step := range []string{messageStep, rowStep} {
		b.until(stepIs(step, "done"))
	}
	b.until(stays)
	b.look()
	b.walk(`//li[contains(., "` + rowStep + `")]/a`)
	require.Contains(b.t, b.words("main h1"), userID)
}

// A provider of one's own is described, tried, connected and its first row seen.
func TestAProviderOfOnesOwnIsConnected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.admin()
	id := b.createProject("shop", pgtest.URL(t, s.Mirror))
	b.fill("#provider-name", "acme")
	b.press(`//button[.="Describe it…"]`)
	b.fill("#definition", "title: Acme\nsignature:\n  scheme: bearer\nevent:\n  type: .type\ntypes:\n  user.created: user.created\n"+
		"records:\n  user:\n    id: .id\n    email: .mail\n")
	b.fill("#body", `{"type": "user.created", "id": "user_ada", "mail": "ada@example.com"}`)
	b.press(`//button[.="Try it"]`)
	require.Contains(t, b.words(".notice"), "ada@example.com")
	b.press(`//button[.="Connect acme"]`)
	b.fill("#secret-value", "a secret of Acme")
	b.press(`//button[.="Store"]`)
	stays := b.stays()
	waittest.Until(t, func() bool { // the receiver learns of a new secret within a moment
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/api/capydb/v1/integrations/custom:acme/webhook/"+id,
			strings.NewReader(`{"type": "user.created", "id": "user_ada", "mail": "ada@example.com"}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer a secret of Acme")
		w, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, w.Body.Close())
		return w.StatusCode == http.StatusNoContent
	})
	b.until(stepIs(rowStep, "done"))
	b.until(stays)
	b.look()
}

func TestAWrongSecretIsFoundAndCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.admin()
	id := b.createProject("shop", pgtest.URL(t, s.Mirror))
	b.open(pathOf(id, "integrations", "clerk"))
	b.press(`//button[.="Connect Clerk"]`)
	b.fill("#secret-value", "no secret of Clerk")
	b.focus(`//button[.="Store"]`)
	b.refused(422, b.location(), chromedp.KeyEvent(kb.Enter))
	require.Contains(t, b.words("#secret-fault"), "whsec_")

	b.fill("#secret-value", "whsec_YW5vdGhlciBzaWduaW5nIHNlY3JldCBlbnRpcmVseQ==")
	b.press(`//button[.="Store"]`)
	b.until(stepIs(messageStep, "waiting"))
	stays := b.stays()
	ada := provider.Sample{Type: "user.created", UserID: "user_ada", At: time.Now()}
	require.Equal(t, 401, s.Try(s.t, id, provider.Clerk, ada, sitetest.ClerkSecret))
	b.until(stepIs(messageStep, "failed"))
	b.until(`document.querySelector("#rejected-section").innerText.includes("signature_mismatch")`)
	b.until(stays)
	b.look()

	b.fill("#secret-value", sitetest.ClerkSecret)
	b.do(chromedp.SetValue("#others", "drop", chromedp.ByQuery))
	b.press(`//button[.="Store"]`)
	stays = b.stays()
	s.send(id, provider.Clerk, ada, sitetest.ClerkSecret)
	b.until(stepIs(messageStep, "done"))
	b.until(stepIs(rowStep, "done"))
	b.until(stays)
}
