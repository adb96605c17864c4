package browsertest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
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

func TestAProviderIsConnected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, title, urlStep string }{
		{provider.Clerk, "Clerk", "Enter the webhook URL at Clerk"},
		{provider.Auth0, "Auth0", "Enter the webhook URL at Auth0"},
		{provider.BetterAuth, "Better Auth", "Enter the webhook URL at Better Auth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			b := s.admin()
			id := b.createProject("shop", pgtest.URL(t, s.Mirror))
			b.press(`//a[.="` + c.title + `"]`)
			b.press(`//button[.="Connect ` + c.title + `"]`)
			for _, step := range []string{c.urlStep, secretStep, messageStep, rowStep} {
				b.until(stepIs(step, "waiting"))
			}
			require.Contains(t, b.words("#webhook ~ p"), s.URL+"/api/capydb/v1/integrations/")

			secret := sitetest.ClerkSecret
			if c.name == provider.Clerk {
				b.fill("#secret-value", secret)
				b.press(`//button[.="Store"]`)
			} else {
				b.press(`//button[.="Generate one instead"]`)
				secret = b.words(".notice code.copy")
			}
			b.until(stepIs(secretStep, "done"))
			b.until(stepIs(messageStep, "waiting"))
			b.until(stepIs(rowStep, "waiting"))
			stays := b.stays()

			s.send(id, c.name, provider.Sample{Type: "user.created", UserID: "user_ada", At: time.Now(), Set: map[string]any{"email": "ada@example.com"}}, secret)
			for _, step := range []string{c.urlStep, secretStep, messageStep, rowStep} {
				b.until(stepIs(step, "done"))
			}
			b.until(stays)
			b.look()
			b.press(`//li[contains(., "` + rowStep + `")]/a`)
			require.Contains(t, b.words("main h1"), "user_ada")
		})
	}
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
