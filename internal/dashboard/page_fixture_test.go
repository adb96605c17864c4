package dashboard_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quiet has no connection left at the end.
var quiet = &http.Transport{DisableKeepAlives: true} //nolint:gochecknoglobals // a constant, if Go had such

// page is an answer to a browser.
type page struct {
	status   int
	header   http.Header
	cookies  []*http.Cookie
	text     string
	elements []xml.StartElement
	texts    []string // by element: the text that it begins with
	// words is the text without markup.
	words string
}

// get opens a page, and checks what is true of every page.
func (s *site) get(t *testing.T, path string, cookies ...*http.Cookie) *page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	require.NoError(t, err)
	return open(t, r, cookies...)
}

// open sends a request as a browser does.
func open(t *testing.T, r *http.Request, cookies ...*http.Cookie) *page {
	t.Helper()
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	for _, cookie := range cookies {
		if cookie != nil {
			r.AddCookie(cookie)
		}
	}
	w, err := quiet.RoundTrip(r)
	require.NoError(t, err)
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	p := &page{status: w.StatusCode, header: w.Header, text: string(body), cookies: w.Cookies()}
	require.Equal(t, "no-store", w.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", w.Header.Get("X-Content-Type-Options"))
	if w.StatusCode/100 == 3 {
		return p
	}
	require.Equal(t, "text/html; charset=utf-8", w.Header.Get("Content-Type"), "%s", p.text)
	require.Equal(t, "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		w.Header.Get("Content-Security-Policy"))
	p.parse(t)
	p.isSafe(t)
	p.isAccessible(t)
	return p
}

func (p *page) parse(t *testing.T) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(p.text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var words strings.Builder
	begins := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "%s", p.text)
		switch token := token.(type) {
		case xml.StartElement:
			p.elements, p.texts = append(p.elements, token.Copy()), append(p.texts, "")
			begins = true
			continue
		case xml.CharData:
			words.Write(token)
			if begins {
				p.texts[len(p.texts)-1] = string(token)
			}
		}
		begins = false
	}
	p.words = words.String()
}

func attribute(e xml.StartElement, name string) (value string, has bool) {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

func (p *page) all(name string) []xml.StartElement {
	return slices.DeleteFunc(slices.Clone(p.elements), func(e xml.StartElement) bool { return e.Name.Local != name })
}

// links are the places that the page's links with a prefix lead to.
func (p *page) links(prefix string) (found []string) {
	for _, e := range p.all("a") {
		if href, _ := attribute(e, "href"); strings.HasPrefix(href, prefix) && !slices.Contains(found, href) {
			found = append(found, href)
		}
	}
	return found
}

// link is where the link with a rel leads.
func (p *page) link(t *testing.T, rel string) string {
	t.Helper()
	for _, e := range p.all("a") {
		if value, _ := attribute(e, "rel"); value == rel {
			href, _ := attribute(e, "href")
			return href
		}
	}
	require.Fail(t, "no link "+rel, "%s", p.text)
	return ""
}
