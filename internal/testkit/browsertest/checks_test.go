package browsertest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// What is looked for on every page is found where it is.
func TestTheChecksFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	const fine = `<!doctype html><html lang="en"><title>A page</title><meta name="viewport" content="width=device-width"><main><h1>A page</h1>`
	pages := map[string]struct{ html, policy, want, not string }{
		"/fine":      {html: fine},
		"/console":   {html: fine + `<script>console.error("that went wrong")</script>`, want: `"that went wrong"`},
		"/exception": {html: fine + `<script>throw new Error("thrown")</script>`, want: "Error: thrown"},
		"/missing":   {html: fine + `<img src="/nothing" alt="">`, want: "404"},
		"/policy":    {html: fine + `<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="">`, policy: "img-src 'self'", want: "img-src forbids data"},
		"/barrier":   {html: fine + `<input>`, want: "label: "},
		"/contrast":  {html: fine + `<p style="color: #888; background: #999">unreadable`, want: "color-contrast: "},
		"/overflow":  {html: fine + `<p style="width: 500px">too wide for a phone`, want: `narrow, dark: <p style="width: 500px">`},
		"/folded":    {html: fine + `<details><summary>More</summary><p style="width: 500px">too wide for a phone</details>`, want: `narrow, dark: <p style="width: 500px">`},
		"/pwned":     {html: fine + `<script>window.__pwned = undefined</script>`, want: "a script that was stored runs"},
		"/dark":      {html: fine + `<style>@media (prefers-color-scheme: dark) { p { color: #333; background: #222 } }</style><p>dark`, want: "narrow, dark: color-contrast: "},
		"/light":     {html: fine + `<style>@media (prefers-color-scheme: light) { p { color: #ddd; background: #eee } }</style><p>light`, want: "wide, light: color-contrast: "},
		"/cause":     {html: fine + `<div style="overflow-x: auto" tabindex="0"><p style="width: 900px">scrolls</div><p style="width: 500px">does not`, want: `narrow, dark: <p style="width: 500px">`, not: "900px"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, found := pages[r.URL.Path]
		if !found {
			w.WriteHeader(map[string]int{"/nothing": http.StatusNotFound, "/favicon.ico": http.StatusNoContent}[r.URL.Path])
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", page.policy)
		io.WriteString(w, page.html) //nolint:errcheck // the browser may have gone
	}))
	t.Cleanup(server.Close)
	b := newBrowser(t, server.URL)
	axe := axe(t)
	for path, page := range pages {
		b.leaves(chromedp.Navigate(server.URL + path))
		found := b.problems(axe)
		if page.want == "" {
			require.Empty(t, found)
		} else {
			require.Contains(t, strings.Join(found, "\n"), page.want, path)
			if page.not != "" {
				require.NotContains(t, strings.Join(found, "\n"), page.not, path)
			}
		}
		b.mu.Lock()
		b.faults = nil
		b.mu.Unlock()
	}
}
