package browsertest_test

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// River UI keeps its policy, too.
func TestRiverUIKeepsItsPolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.history(shop, "user_ada", "Ada")
	b := s.admin()
	for path, text := range map[string]string{"/river/": "Completed", "/river/jobs?state=completed": "apply_inbox", "/river/queues": "default"} {
		b.leaves(chromedp.Navigate(s.URL + path))
		b.until(`document.body.innerText.includes("` + text + `")`)
		b.clean()
	}
}
