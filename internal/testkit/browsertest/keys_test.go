package browsertest_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

// Whoever uses a key is signed out when it is revoked.
func TestAKeyIsMadeAndRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Shop(t)
	b := s.admin()
	b.open("/keys")
	b.fill("#name", "Grace’s laptop")
	b.press(`//button[.="Create the key"]`)
	require.Contains(t, b.words(".notice"), "Grace’s laptop")
	secret := b.words(".notice code.copy")

	grace := b.another()
	grace.signIn(secret)
	require.Contains(t, grace.words("header"), "Grace’s laptop")

	b.open("/keys")
	row := `//tr[contains(., "Grace’s laptop")]`
	b.focus(row + `//summary`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.look()
	grace.expects(grace.base + "/") // the page that stands open may ask for news
	b.press(row + `//button[starts-with(., "Revoke")]`)
	require.Contains(t, b.words(".notice"), "revoked")
	grace.press(`//th/a[.="shop"]`)
	require.Contains(t, grace.location(), "/sign-in?next=")
	require.Equal(t, "Sign in", grace.words("h1"))
}

// A key that may only read is offered nothing else.
func TestAReadOnlyKeyIsOfferedNoChange(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.history(shop, "user_ada", "Ada")
	b := newBrowser(t, s.URL)
	b.signIn(s.Key(s.t, project.KeyInput{Name: "auditor", Role: project.ReadOnly}))
	const offered = `[
		...[...document.forms].filter((form) => form.getAttribute("role") !== "search" && new URL(form.action).pathname !== "/sign-out"),
		...[...document.querySelectorAll("button")].filter((button) => button.form === null && !button.matches(".copier")),
		...document.querySelectorAll("a.button"),
	].map((e) => e.outerHTML)`
	searches := 0
	for _, path := range s.everyPage(shop, "user_ada", "org_1") {
		b.open(path)
		if path != "/sign-in" {
			require.Empty(t, get[[]string](b, offered), path)
			searches += get[int](b, `document.querySelectorAll("form[role=search] button").length`)
		}
	}
	require.GreaterOrEqual(t, searches, 6)
}

// The audit log is for admins, and is read as the other pages are.
func TestAuditLogIsRead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	b := newBrowser(t, s.URL)
	b.signIn(s.Key(s.t, project.KeyInput{Name: "ada"}))
	for _, path := range []string{"/audit", "/audit?action=session&outcome=succeeded", pathOf(shop.ID.String(), "audit"), pathOf(shop.ID.String(), "audit") + "?outcome=refused"} {
		b.open(path)
	}
	b.open("/audit")
	require.Contains(t, b.words("#audit"), "session.create")
}
