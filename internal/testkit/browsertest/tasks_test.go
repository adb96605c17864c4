package browsertest_test

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A failed event is replayed, and its page shows the new outcome without a reload.
func TestAFailedEventIsReplayed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.shop()
	// A customer's trigger that fails while told to, and waits as long as the test holds a lock.
	run(t, s.mirror, `CREATE TABLE public.refusing ();
		CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $fn$
		BEGIN
			PERFORM pg_advisory_xact_lock(42);
			IF to_regclass('public.refusing') IS NOT NULL THEN RAISE EXCEPTION 'no users today'; END IF;
			RETURN NEW;
		END $fn$;
		CREATE TRIGGER refuse BEFORE INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	s.clerk(shop, provider.Sample{Type: "user.created", UserID: "user_ada", At: time.Now()})
	// As if the job had been cancelled in River UI: nothing but a replay applies the event.
	waittest.Until(t, func() bool {
		tag, err := s.control.Exec(t.Context(), `DELETE FROM authsync.river_job WHERE kind = 'retry_event' AND state <> 'running'`)
		require.NoError(t, err)
		return tag.RowsAffected() == 1
	})

	b := s.admin()
	b.open(pathOf(shop.ID.String(), "events") + "?outcome=failed")
	b.press(`//td/following-sibling::th/a`)
	require.Contains(t, b.words("#facts"), "failed")
	require.Contains(t, b.words("#facts"), "no users today")
	run(t, s.mirror, `DROP TABLE public.refusing`)
	held, err := s.mirror.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), `SELECT pg_advisory_xact_lock(42)`)
	require.NoError(t, err)
	b.press(`//button[.="Replay this event"]`)
	require.Contains(t, b.words(".notice"), "The event is queued again")
	require.NotContains(t, b.words("#facts"), "applied ")
	stays := b.stays()
	require.NoError(t, held.Rollback(t.Context()))
	b.until(`document.querySelector("#facts .state").innerText === "applied"`)
	b.until(stays)
	b.look()
}

// Whoever uses a key is signed out when it is revoked.
func TestAKeyIsMadeAndRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.shop()
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
	shop := s.shop()
	s.history(shop, "user_ada", "Ada")
	b := newBrowser(t, s.url)
	b.signIn(s.key(project.KeyInput{Name: "auditor", Role: project.ReadOnly}))
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

// Times are in the reader's zone, with the exact instant at hand, and what is to be copied is copied by a click.
func TestTimesAndCopyButtons(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.shop()
	run(t, s.control, `UPDATE authsync.projects SET created_at = '2026-02-03 20:45:06.789+00'`)
	b := newBrowser(t, s.url)
	b.do(emulation.SetTimezoneOverride("Asia/Kolkata"), emulation.SetLocaleOverride().WithLocale("en-GB"))
	b.signIn(s.key(project.KeyInput{Name: "Ada’s laptop"}))
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
}

// Without JavaScript every page can be read, and the forms work.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.shop()
	s.history(shop, "user_ada", "Ada")
	b := newBrowser(t, s.url)
	b.do(emulation.SetScriptExecutionDisabled(true))
	leave := func(actions ...chromedp.Action) {
		t.Helper()
		require.Equal(t, int64(200), b.leaves(actions...))
		require.Empty(t, b.complaints())
	}
	leave(chromedp.Navigate(s.url + "/sign-in"))
	b.do(chromedp.SendKeys("#key", s.key(project.KeyInput{Name: "Ada’s laptop"}), chromedp.ByQuery))
	leave(chromedp.Submit("#key", chromedp.ByQuery))
	for _, path := range s.everyPage(shop, "user_ada", "org_1") {
		leave(chromedp.Navigate(s.url + path))
		require.NotEmpty(t, b.words("h1"))
		if path != "/sign-in" {
			require.Contains(t, b.words("footer"), "Times are in UTC")
			require.Equal(t, 0, get[int](b, `document.querySelectorAll(".copier").length`), "no script has run")
		}
	}
	leave(chromedp.Navigate(s.url + pathOf(shop.ID.String(), "events", s.event("user.created"))))
	leave(chromedp.Click(`//button[.="Replay this event"]`, chromedp.BySearch))
	require.Contains(t, b.words(".notice"), "The event is queued again")
}

// River UI keeps its policy, too.
func TestRiverUIKeepsItsPolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.shop()
	s.history(shop, "user_ada", "Ada")
	b := s.admin()
	for path, text := range map[string]string{"/river/": "Completed", "/river/jobs?state=completed": "apply_inbox", "/river/queues": "default"} {
		b.leaves(chromedp.Navigate(s.url + path))
		b.until(`document.body.innerText.includes("` + text + `")`)
		b.clean()
	}
}

// What is refused is said on a page like any other, and what was entered is kept.
func TestRefusalsAreReadable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.shop()
	id := shop.ID.String()
	b := s.admin()
	for path, status := range map[string]int{
		pathOf("nothing"): 404, pathOf(id, "events", "7.0"): 404, pathOf(id, "records", "user", "nobody"): 404,
		pathOf(id, "events") + "?since=yesterday": 422, pathOf(id, "replay") + "?outcome=odd": 422,
	} {
		b.refused(status, b.base+path, chromedp.Navigate(b.base+path))
		require.NotEmpty(t, b.words("main"))
	}
	b.open("/new-project")
	b.fill("#name", "another")
	b.fill("#database_url", "postgres://nobody:wrong@127.0.0.1:1/none")
	b.focus(`//button[.="Create the project"]`)
	b.refused(422, b.base+"/projects", chromedp.KeyEvent(kb.Enter))
	require.NotEmpty(t, b.words("#fault"))
	require.Equal(t, "another", get[string](b, `document.querySelector("#name").value`))
}

// history has a user appear and change its name, join an organization, and be signed in.
func (s *site) history(of project.Project, userID, name string) {
	s.t.Helper()
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	s.clerk(of,
		provider.Sample{Type: "user.created", UserID: userID, At: at, Set: map[string]any{"first_name": name, "unsafe_metadata": map[string]any{name: name}}},
		provider.Sample{Type: "user.updated", UserID: userID, At: at.Add(time.Minute), Set: map[string]any{"first_name": name + " the second", "username": name}},
		provider.Sample{Type: "organization.created", OrganizationID: "org_1", At: at, Set: map[string]any{"name": name + " Ltd."}},
		provider.Sample{Type: "organizationMembership.created", OrganizationID: "org_1", UserID: userID, At: at},
		provider.Sample{Type: "organizationInvitation.created", OrganizationID: "org_1", At: at, Set: map[string]any{"email_address": name}},
		provider.Sample{Type: "session.created", UserID: userID, At: at},
		provider.Sample{Type: "role.created"},
	)
}
