package browsertest_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// What is refused is said on a page like any other, and what was entered is kept.
func TestRefusalsAreReadable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
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
