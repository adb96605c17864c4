// Package browsertest_test drives the dashboard in a real browser, as a person would: whole tasks, from the sign-in to
// what is seen at the end. Every page on the way is checked, see (*tab).look.
package browsertest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) {
	forget := trustTestServers()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"), // pgtest's server
		goleak.Cleanup(func(code int) { forget(); os.Exit(code) }))
}

// bound ends a test that would otherwise hang. It is far longer than any of them takes.
const bound = 5 * waittest.Bound

// program is the browser to test with. Where there is none, the test is left out, unless REQUIRE_BROWSER=1, as in CI.
func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.Empty(t, os.Getenv("REQUIRE_BROWSER"), "Chromium is not installed: apt-get install chromium (Debian), apt-get install chromium-browser (Ubuntu)")
	t.Skip("NOT RUN: the tests of the dashboard in a browser: Chromium is not installed, see make test/browser")
	return ""
}

// tab is a browser's tab, with a session of its own.
type tab struct {
	t    *testing.T
	ctx  context.Context // which is how chromedp names a tab
	base string

	mu       sync.Mutex
	faults   []string
	expected []string // pages that are answered with an error on purpose
}

// newBrowser starts a browser, whose tab is at the server with that URL.
func newBrowser(t *testing.T, base string) *tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(program(t)),
		chromedp.Flag("allow-pre-commit-input", true)) // otherwise a page ignores keys and clicks until it is painted
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot use
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), bound) // the test's ends before the browser is closed
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, append(options, chromedp.WSURLReadTimeout(waittest.Bound))...)
	t.Cleanup(stop)
	b := &tab{t: t, ctx: ctx, base: base}
	b.start()
	return b
}

// another is a tab of the same browser that shares nothing with the first: no cookies, no storage.
func (b *tab) another() *tab {
	b.t.Helper()
	return b.anotherFor(b.t)
}

// anotherFor is one for a part of the test.
func (b *tab) anotherFor(t *testing.T) *tab {
	t.Helper()
	var id target.ID
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		ctx = cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
		apart, err := target.CreateBrowserContext().Do(ctx)
		if err == nil { // in a window of its own, as chromedp.WithNewBrowserContext does not: there is none yet
			id, err = target.CreateTarget("about:blank").WithBrowserContextID(apart).WithNewWindow(true).Do(ctx)
		}
		return err
	}))
	other := &tab{t: t, ctx: b.ctx, base: b.base}
	other.start(chromedp.WithTargetID(id))
	return other
}

// start opens the tab, in the browser of its context, and listens to it.
func (b *tab) start(options ...chromedp.ContextOption) {
	b.t.Helper()
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(b.ctx, options...)
	b.t.Cleanup(func() {
		b.clean()
		cancel()
	})
	chromedp.ListenTarget(b.ctx, b.note)
	require.NoError(b.t, chromedp.Run(b.ctx)) // the browser ends with the context of the first run
	b.do(
		log.Enable(), runtime.Enable(), runtime.AddBinding("authsyncViolated"),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(`document.addEventListener("securitypolicyviolation",
				(e) => authsyncViolated(e.violatedDirective + " forbids " + (e.blockedURI || "it") + " " + e.sample));`).Do(ctx)
			return err
		}),
		emulation.SetFocusEmulationEnabled(true), // as if a person looked at it
		chromedp.EmulateViewport(wide, wideHeight),
	)
}
