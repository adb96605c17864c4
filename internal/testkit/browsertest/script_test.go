package browsertest_test

import (
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

// Times are in the reader's zone, with the exact instant at hand, and what is to be copied is copied by a click.
func TestTimesAndCopyButtons(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	run(t, s.Control, `UPDATE authsync.projects SET created_at = '2026-02-03 20:45:06.789+00'`)
	b := newBrowser(t, s.URL)
	b.do(emulation.SetTimezoneOverride("Asia/Kolkata"), emulation.SetLocaleOverride().WithLocale("en-GB"))
	b.signIn(s.Key(s.t, project.KeyInput{Name: "Ada’s laptop"}))
	b.allow(browser.PermissionTypeClipboardReadWrite, browser.PermissionTypeClipboardSanitizedWrite)
	b.open(pathOf(shop.ID.String()))
	created := `main .facts time`
	require.Equal(t, "4 Feb 2026, 02:15:06", b.words(created))
	require.Equal(t, "2026-02-03T20:45:06.789Z", get[string](b, `document.querySelector("`+created+`").title`))
	require.Contains(t, b.words("footer"), "Asia/Calcutta")

	b.focus(`//button[@class="copier"]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelector("main .facts .copier").textContent === "Copied"`)
	require.Equal(t, shop.ID.String(), get[string](b, "navigator.clipboard.readText()"))
	b.until(`document.querySelector("main .facts .copier").textContent === "Copy"`)

	// Ids in lists, and those of pages, have a button as well.
	s.history(shop, "user_ada", "Ada")
	for path, button := range map[string]string{
		pathOf(shop.ID.String(), "records", "user"):               `//th/button[@aria-label="Copy user_ada"]`,
		pathOf(shop.ID.String(), "records", "user", "user_ada"):   `//nav/button[@aria-label="Copy id user_ada"]`,
		pathOf(shop.ID.String(), "events") + "?type=user.created": `//td/button[@aria-label="Copy user_ada"]`,
	} {
		b.open(path)
		b.do(chromedp.Evaluate(`navigator.clipboard.writeText("nothing")`, nil))
		b.focus(button)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.until(`document.activeElement.matches(".copier.done")`)
		require.Equal(t, "user_ada", get[string](b, "navigator.clipboard.readText()"), path)
	}
}

// Without JavaScript every page can be read, and the forms work.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.history(shop, "user_ada", "Ada")
	b := newBrowser(t, s.URL)
	b.do(emulation.SetScriptExecutionDisabled(true))
	leave := func(actions ...chromedp.Action) {
		t.Helper()
		require.Equal(t, int64(200), b.leaves(actions...))
		require.Empty(t, b.complaints())
	}
	leave(chromedp.Navigate(s.URL + "/sign-in"))
	b.do(chromedp.SendKeys("#key", s.Key(s.t, project.KeyInput{Name: "Ada’s laptop"}), chromedp.ByQuery))
	leave(chromedp.Submit("#key", chromedp.ByQuery))
	for _, path := range s.everyPage(shop, "user_ada", "org_1") {
		leave(chromedp.Navigate(s.URL + path))
		require.NotEmpty(t, b.words("h1"))
		if path != "/sign-in" {
			require.Contains(t, b.words("footer"), "Times are in UTC")
			require.Equal(t, 0, get[int](b, `document.querySelectorAll(".copier").length`), "no script has run")
		}
	}
	leave(chromedp.Navigate(s.URL + pathOf(shop.ID.String(), "events", s.Event(s.t, "user.created"))))
	leave(chromedp.Click(`//button[.="Replay this event"]`, chromedp.BySearch))
	require.Contains(t, b.words(".notice"), "The event is queued again")
}
