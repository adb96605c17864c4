package dashboard_test

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// isSafe holds of a page whatever is stored: what is stored became neither an element nor an attribute, and every link
// leads to this server.
func (p *page) isSafe(t *testing.T) {
	t.Helper()
	require.NotContains(t, p.text, "ZgotmplZ")
	for _, e := range p.elements {
		require.NotContains(t, []string{"style", "iframe", "object", "embed", "base"}, e.Name.Local, "%s", p.text)
		for _, a := range e.Attr {
			name := a.Name.Local
			require.False(t, name == "style" || strings.HasPrefix(name, "on"), "attribute %s of %s", name, e.Name.Local)
			if name == "href" || name == "src" || name == "action" || name == "formaction" {
				u, err := url.Parse(a.Value)
				require.NoError(t, err)
				require.Empty(t, u.Host)
				require.Empty(t, u.Scheme)
				require.Contains(t, "/#", a.Value[:1], "%s", a.Value)
			}
		}
	}
	p.drawingsAreOurs(t)
	require.Len(t, p.all("img"), 1, "the logo")
	require.Len(t, p.all("script"), 1)
	script, _ := attribute(p.all("script")[0], "src")
	require.Equal(t, "/assets/page.js", script)
}

// drawingsAreOurs holds of drawings that are made of numbers only, and are hidden from those who read what they say.
func (p *page) drawingsAreOurs(t *testing.T) {
	t.Helper()
	for _, e := range slices.Concat(p.all("svg"), p.all("rect"), p.all("line"), p.all("path")) {
		for _, a := range e.Attr {
			switch name := a.Name.Local; {
			case name == "viewBox":
				require.Contains(t, []string{"0 0 600 140", "0 0 192 32"}, a.Value)
			case e.Name.Local == "svg":
				require.Equal(t, map[string]string{"class": "plot", "aria-hidden": "true"}[name], a.Value, name)
			case name == "d":
				require.Regexp(t, `^(M\d+ \d+v-\d+h\d+v\d+z)+$`, a.Value)
			case name == "class":
				require.Contains(t, []string{"good", "bad", "took"}, a.Value)
			default:
				_, err := strconv.Atoi(a.Value)
				require.NoError(t, err, name)
			}
		}
	}
	require.Len(t, p.all("figcaption"), len(p.all("svg")))
}

// isAccessible checks what a structure can show.
func (p *page) isAccessible(t *testing.T) {
	t.Helper()
	language, _ := attribute(p.all("html")[0], "lang")
	require.Equal(t, "en", language)
	require.Len(t, p.all("title"), 1)
	require.Len(t, p.all("h1"), 1)
	require.Len(t, p.all("main"), 1)
	require.Len(t, p.all("header"), 1)
	require.NotEmpty(t, p.all("nav"))
	level, ids, labels := 1, map[string]bool{}, map[string]bool{}
	for _, e := range p.elements {
		if h := e.Name.Local; len(h) == 2 && h[0] == 'h' && h[1] >= '1' && h[1] <= '6' {
			require.LessOrEqual(t, int(h[1]-'0'), level+1, "no heading is skipped")
			level = int(h[1] - '0')
		}
		if id, has := attribute(e, "id"); has {
			require.False(t, ids[id], "two have the id %s", id)
			ids[id] = true
		}
		if of, has := attribute(e, "for"); has {
			labels[of] = true
		}
	}
	for _, e := range slices.Concat(p.all("input"), p.all("select"), p.all("textarea")) {
		if kind, _ := attribute(e, "type"); kind == "hidden" {
			continue
		}
		id, _ := attribute(e, "id")
		require.True(t, labels[id], "field %s has a label", id)
	}
	for _, e := range p.elements {
		for _, name := range []string{"aria-labelledby", "aria-describedby"} {
			if id, has := attribute(e, name); has {
				require.True(t, ids[id], "%s of %s", name, id)
			}
		}
	}
	require.Len(t, p.all("caption"), len(p.all("table")))
	for _, e := range p.all("th") {
		scope, _ := attribute(e, "scope")
		require.Contains(t, []string{"col", "row"}, scope)
	}
	for _, e := range p.all("nav") {
		label, _ := attribute(e, "aria-label")
		require.NotEmpty(t, label)
	}
	for _, e := range p.all("time") {
		at, _ := attribute(e, "datetime")
		_, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		title, _ := attribute(e, "title")
		require.Equal(t, at, title)
	}
}
