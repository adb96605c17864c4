package browsertest_test

import (
	"strconv"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
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
	s.pickTimes(b, shop)
	for path, button := range map[string]string{
		pathOf(shop.ID.String(), "records", "user"):               `//th//button[@aria-label="Copy user_ada"]`,
		pathOf(shop.ID.String(), "records", "user", "user_ada"):   `//nav/button[@aria-label="Copy id user_ada"]`,
		pathOf(shop.ID.String(), "events") + "?type=user.created": `//td//button[@aria-label="Copy user_ada"]`,
		pathOf(shop.ID.String(), "records", "session"):            `//td//button[@aria-label="Copy user_ada"]`,
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
	b.previewsByButton(s, shop)
	leave(chromedp.Navigate(s.URL + pathOf(shop.ID.String(), "events") + "?since=2026-01-02T03:04:05Z"))
	require.Equal(t, "2026-01-02T03:04:05Z", get[string](b, `document.querySelector("#since").value`), "in UTC, as its label says")
	require.Contains(t, b.words(".filter"), "Since (UTC)")
	leave(chromedp.Click(`//a[.="Last 24 hours"]`, chromedp.BySearch))
	require.NotContains(t, b.location(), "2026-01-02")
	leave(chromedp.Navigate(s.URL + pathOf(shop.ID.String(), "events", s.Event(s.t, "user.created"))))
	leave(chromedp.Click(`//button[.="Replay this event"]`, chromedp.BySearch))
	require.Contains(t, b.words(".notice"), "The event is queued again")
}

// pickTimes has a person in India pick times: the address has them in UTC, and says the same to everybody.
func (s *site) pickTimes(b *tab, of project.Project) {
	s.t.Helper()
	events := pathOf(of.ID.String(), "events")
	b.open(events + "?since=2026-02-03T20:45:06Z&outcome=applied")
	require.Equal(s.t, "2026-02-04T02:15:06", get[string](b, `document.querySelector("#since").value`))
	require.Equal(s.t, "datetime-local", get[string](b, `document.querySelector("#since").type`))
	require.NotContains(s.t, b.words(".filter"), "UTC", "labels do not say what no longer holds")
	b.do(chromedp.Evaluate(`(() => {
		const until = document.querySelector("#until");
		until.value = "2026-02-05T01:00:30";
		until.dispatchEvent(new Event("input"));
	})()`, nil))
	b.press(`//button[.="Filter"]`)
	require.Contains(s.t, b.location(), "since=2026-02-03T20%3A45%3A06Z&until=2026-02-04T19%3A30%3A30Z")
	require.Equal(s.t, "2026-02-05T01:00:30", get[string](b, `document.querySelector("#until").value`))

	b.do(chromedp.Evaluate(`Date.now = () => Date.parse("2026-03-01T12:00:00Z")`, nil)) // long after it was opened
	b.press(`//a[.="Last hour"]`)
	require.Contains(s.t, b.location(), "since=2026-03-01T11%3A00%3A00Z")
	require.Contains(s.t, b.location(), "outcome=applied", "the list stays filtered by the rest")
	require.NotContains(s.t, b.location(), "until")

	// What is no time stays to be corrected.
	b.refused(422, b.base+events+"?since=yesterday", chromedp.Navigate(b.base+events+"?since=yesterday"))
	require.Equal(s.t, "yesterday", get[string](b, `document.querySelector("#since").value`))
}

// Whatever is called an id on a page can be copied: the keys', those of the audit log, of deliveries, jobs and secrets.
func TestEveryIDCanBeCopied(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	id := shop.ID.String()
	s.destination("shop", "crm")
	s.history(shop, "user_ada", "Ada")
	var delivery int64
	waittest.Until(t, func() bool {
		return s.Control.QueryRow(t.Context(), `SELECT id FROM authsync.deliveries WHERE state = 'delivered' ORDER BY id LIMIT 1`).Scan(&delivery) == nil
	})
	var destination, change, key string
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT destination_id, change_id FROM authsync.deliveries WHERE id = $1`, delivery).Scan(&destination, &change))
	b := s.admin()
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT id FROM authsync.api_keys ORDER BY created_at LIMIT 1`).Scan(&key))
	one := strconv.FormatInt(delivery, 10)
	for path, ids := range map[string][]string{
		pathOf(id):                                {id},
		"/keys":                                   {key},
		"/audit":                                  {destination},
		pathOf(id, "deliveries"):                  {one, "user_ada"},
		pathOf(id, "deliveries", one):             {one, change, "user_ada"},
		pathOf(id, "destinations", "crm"):         {destination},
		pathOf(id, "records", "membership"):       {"user_ada", "org_1", record.MembershipID("org_1", "user_ada")},
		pathOf(id, "records", "user", "user_ada"): {"user_ada", change, one},
		pathOf(id, "events"):                      {s.Event(t, "user.created"), "user_ada"},
		pathOf(id, "integrations", "clerk"):       {provider.SecretName(sitetest.ClerkSecret)},
	} {
		b.leaves(chromedp.Navigate(s.URL + path))
		copied := get[[]string](b, `[...document.querySelectorAll(".copier")].map((button) => button.getAttribute("aria-label").replace(/^Copy( id)? /, ""))`)
		for _, want := range ids {
			require.Contains(t, copied, want, path)
		}
	}
}
