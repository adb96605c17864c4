package browsertest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// lock keeps everybody from a table of the mirror, until the lock is ended.
func (s *site) lock(table string) (end func()) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), pgtest.URL(s.t, s.Mirror))
	require.NoError(s.t, err)
	_, err = conn.Exec(s.t.Context(), `BEGIN; LOCK TABLE capydb_auth.`+table+` IN ACCESS EXCLUSIVE MODE`)
	require.NoError(s.t, err)
	return func() { require.NoError(s.t, conn.Close(waittest.Context(s.t))) }
}

const cloneSays = `document.querySelector("#clone-section").innerText.includes`

// A project is cloned, from the click to the first row: the bar comes by itself, shows what is copied and goes, and what happens in the
// source then happens in the clone.
func TestAProjectIsCloned(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.history(shop, "user_ada", "Ada")
	run(t, s.Mirror, `ANALYZE capydb_auth.users, capydb_auth.organizations, capydb_auth.memberships, capydb_auth.processed_events`) // which the estimate is of
	b := s.admin()
	b.leaves(chromedp.Navigate(b.base + pathOf(shop.ID.String())))
	b.press(`//a[.="Clone…"]`)
	b.fill("#name", "preview")
	b.fill("#database_url", pgtest.URL(t, s.Mirror))
	b.do(chromedp.SetValue("#mode", "still", chromedp.ByQuery))
	b.focus(`//button[.="Clone the project"]`)
	b.refused(422, b.base+pathOf(shop.ID.String(), "clone"), chromedp.KeyEvent(kb.Enter))
	require.Contains(t, b.words("#fault"), "this is the database of the project that is to be cloned: give another one")
	require.Equal(t, "preview", get[string](b, `document.querySelector("#name").value`))
	require.Equal(t, "still", get[string](b, `document.querySelector("#mode").value`))

	end := s.lock("memberships") // which is copied after the users
	b.do(chromedp.SetValue("#mode", "following", chromedp.ByQuery))
	b.fill("#database_url", pgtest.URL(t, pgtest.Empty(t)))
	b.press(`//button[.="Clone the project"]`)
	require.Equal(t, "preview", b.words("main h1"))
	require.Contains(t, b.words(".notice"), "Its mirror is copied from shop.")
	stays, id := b.stays(), b.words("main .facts code.copy")
	const bar = `parseInt(document.querySelector("#clone-section progress")?.textContent)` // its value ends at what is expected
	b.until(cloneSays + `("waits: the source's database")`)
	b.until(bar + ` > 0`)
	b.look()
	end()
	b.until(cloneSays + `("follows shop")`)
	b.until(`document.querySelector("#clone-section progress") === null`)
	b.until(stays)

	s.clerk(shop, provider.Sample{Type: "user.created", UserID: "user_bob", At: time.Now()})
	b.leaves(chromedp.Navigate(b.base + pathOf(id, "records", "user")))
	waittest.Until(t, func() bool {
		b.leaves(chromedp.Reload())
		return strings.Contains(b.words("main"), "user_bob")
	}, "what happens in the source does not come to the clone")
	b.walk(`//a[.="user_ada"]`)
	require.Contains(t, b.words("main h1"), "user_ada")

	b.leaves(chromedp.Navigate(b.base + pathOf(id)))
	require.False(t, get[bool](b, `[...document.querySelectorAll("a.button")].some((a) => a.innerText === "Clerk")`), "no provider is connected to a clone that follows")
	b.do(chromedp.SetValue("#mode", "still", chromedp.ByQuery))
	b.walk(`//button[.="Resync"]`)
	require.Contains(t, b.words(".notice"), "The mirror is copied once more from shop.")
	b.until(cloneSays + `("stands still: as shop was at")`)
	b.leaves(chromedp.Navigate(b.base + pathOf(id)))
	require.True(t, get[bool](b, `[...document.querySelectorAll("a.button")].some((a) => a.innerText === "Clerk")`))

	reader := b.another()
	reader.signIn(s.Key(t, project.KeyInput{Name: "reader", Role: project.ReadOnly}))
	reader.leaves(chromedp.Navigate(reader.base + pathOf(id)))
	require.Contains(t, reader.words("#clone-section"), "stands still")
	require.NotContains(t, reader.words("main"), "Resync")
	require.NotContains(t, reader.words("main"), "Clone…")
}
