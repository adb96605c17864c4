package browsertest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const root = "../../.."

// The sizes that pages are looked at in: of a desk and of a phone.
const (
	wide, wideHeight     = 1280, 900
	narrow, narrowHeight = 360, 780
)

// axe is the source of axe-core, of the version that the Makefile names.
func axe(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^AXE_VERSION\s*:= (\S+)$`).FindSubmatch(makefile)
	require.NotNil(t, version, "the Makefile names the version")
	source, err := os.ReadFile(filepath.Join(root, ".bin", "axe-core-"+string(version[1]), "node_modules", "axe-core", "axe.min.js"))
	require.NoError(t, err, "make tools installs axe-core, with npm")
	return string(source)
}

// barriers has axe-core say what keeps people from using the page.
const barriers = `axe.run(document, {resultTypes: ["violations"]}).then((found) =>
	found.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html + "\n" + n.failureSummary)))`

// overflow are the elements that are wider than the page, if that makes the page scroll sideways once it has settled: a page that has
// just been made narrow does so for a moment. What is inside of a part that scrolls by itself is not the cause.
const overflow = `new Promise((done) => {
	let left = 100;
	const look = () => {
		const width = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= width) return done([]);
		if (left--) return setTimeout(look, 50);
		const scrolls = (e) => e && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
		const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 0.5 && !scrolls(e.parentElement));
		done(wide.length ? wide.map((e) => e.outerHTML.slice(0, 200)) : ["the page is wider than " + width]);
	};
	look();
})`

// pwned is true where a script that was stored has run.
const pwned = `"__pwned" in window`

// unfold opens what can be opened on a page, and gives how to close it again.
const unfold = `(() => {
	const folded = [...document.querySelectorAll("details:not([open])")];
	for (const part of folded) part.open = true;
	window.fold = () => { for (const part of folded) part.open = false; };
})()`

// look checks a page in both themes and both sizes, as it is and with all that can be opened: the browser complains about nothing, the
// policy of the page is kept, axe-core finds no barrier, the page does not scroll sideways, and nothing stored has become a script.
func (b *tab) look() {
	b.t.Helper()
	require.Empty(b.t, b.problems(axe(b.t)), "at %s", b.location())
}

// problems are what is wrong with a page. A theme changes colours only, and a size places only: each is seen once, together with one of
// the other. axe-core takes most of the time, so it looks where all is open.
func (b *tab) problems(axe string) (found []string) {
	b.t.Helper()
	b.do(chromedp.Evaluate(axe, nil))
	for _, view := range []struct {
		name, theme   string
		width, height int64
	}{{"narrow, dark", "dark", narrow, narrowHeight}, {"wide, light", "light", wide, wideHeight}} {
		b.theme(view.theme)
		b.do(chromedp.EmulateViewport(view.width, view.height))
		seen := get[[]string](b, overflow)
		b.do(chromedp.Evaluate(unfold, nil))
		seen = slices.Concat(seen, get[[]string](b, overflow), get[[]string](b, barriers))
		b.do(chromedp.Evaluate("fold()", nil))
		for _, fault := range seen {
			found = append(found, view.name+": "+fault)
		}
	}
	if get[bool](b, pwned) {
		found = append(found, "a script that was stored runs")
	}
	return append(found, b.complaints()...)
}

// theme sets the theme that the reader prefers.
func (b *tab) theme(name string) {
	b.t.Helper()
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}
