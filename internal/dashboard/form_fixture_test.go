package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// form is a form of a page, with what it has in it before anybody fills it in.
type form struct {
	action string
	values url.Values
}

// forms are those of a page whose actions end like this.
func (p *page) forms(ending string) (found []form) {
	var current *form
	selection := "" // the name of the select whose options follow
	end := func() {
		if current != nil && strings.HasSuffix(current.action, ending) {
			found = append(found, *current)
		}
	}
	for i, e := range p.elements {
		name, _ := attribute(e, "name")
		value, hasValue := attribute(e, "value")
		switch kind, _ := attribute(e, "type"); e.Name.Local {
		case "form":
			end()
			action, _ := attribute(e, "action")
			current = &form{action: action, values: url.Values{}}
			if method, _ := attribute(e, "method"); method != "post" {
				current.action = "GET " + action
			}
		case "input":
			_, checked := attribute(e, "checked")
			if current != nil && name != "" && (checked || kind != "checkbox" && kind != "radio") {
				current.values.Add(name, value)
			}
		case "textarea":
			if current != nil && name != "" {
				current.values.Add(name, p.texts[i])
			}
		case "select":
			selection = name
		case "option":
			if !hasValue {
				value = p.texts[i]
			}
			if _, selected := attribute(e, "selected"); current != nil && (selected || !current.values.Has(selection)) {
				current.values.Set(selection, value)
			}
		}
	}
	end()
	return found
}

// form is the only one of a page that ends like this.
func (p *page) form(t *testing.T, ending string) form {
	t.Helper()
	found := p.forms(ending)
	require.Len(t, found, 1, "%s in %s", ending, p.text)
	return found[0]
}

// post sends a form from a page of this server.
func (s *site) post(t *testing.T, f form, cookie *http.Cookie) *page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+f.action, strings.NewReader(f.values.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Referer", s.URL+s.path())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return open(t, r, cookie)
}

// do fills in a form and follows where it leads.
func (s *site) do(t *testing.T, f form, cookie *http.Cookie, namesAndValues ...string) *page {
	t.Helper()
	for i := 0; i < len(namesAndValues); i += 2 {
		f.values.Set(namesAndValues[i], namesAndValues[i+1])
	}
	sent := s.post(t, f, cookie)
	require.Equal(t, http.StatusSeeOther, sent.status, "%s", sent.words)
	next := s.get(t, sent.header.Get("Location"), append(sent.cookies, cookie)...)
	require.Equal(t, http.StatusOK, next.status, "%s", next.words)
	return next
}

// notice is what a page says that a form has done.
func (p *page) notice(t *testing.T) string {
	t.Helper()
	_, after, found := strings.Cut(p.text, `<p class="notice" role="status">`)
	require.True(t, found, "%s", p.words)
	text, _, _ := strings.Cut(after, "</p>")
	return text
}
