// Package browsertest_test drives the dashboard in a real browser, as a person would: whole tasks, from the sign-in to
// what is seen at the end. Every page on the way is checked, see (*tab).look.
package browsertest_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait")) // pgtest's server
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
	var id target.ID
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		ctx = cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
		apart, err := target.CreateBrowserContext().Do(ctx)
		if err == nil { // in a window of its own, as chromedp.WithNewBrowserContext does not: there is none yet
			id, err = target.CreateTarget("about:blank").WithBrowserContextID(apart).WithNewWindow(true).Do(ctx)
		}
		return err
	}))
	other := &tab{t: b.t, ctx: b.ctx, base: b.base}
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

// note keeps what the browser complains about.
func (b *tab) note(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "an exception: " + e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning || e.Type == runtime.APITypeAssert {
			words := []string{"the console has an " + e.Type.String() + ":"}
			for _, arg := range e.Args {
				words = append(words, string(arg.Value)+arg.Description)
			}
			fault = strings.Join(words, " ")
		}
	case *runtime.EventBindingCalled:
		fault = "the policy: " + e.Payload
	case *log.EventEntryAdded:
		b.mu.Lock()
		expected := e.Entry.Source == log.SourceNetwork && slices.Contains(b.expected, e.Entry.URL)
		b.mu.Unlock()
		if (e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning) && !expected {
			fault = "the browser's log has: " + e.Entry.Text + " " + e.Entry.URL
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// complaints are what was noted so far. Asking the page for something comes after all that it has reported.
func (b *tab) complaints() []string {
	b.t.Helper()
	b.do(chromedp.Evaluate("1", nil))
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

// clean requires that the browser has complained about nothing.
func (b *tab) clean() {
	b.t.Helper()
	if !b.t.Failed() {
		require.Empty(b.t, b.complaints(), "at %s", b.location())
	}
}

// do runs actions of which none leads to another page.
func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waittest.Bound)
	defer cancel()
	require.NoError(b.t, chromedp.Run(ctx, actions...))
}

// goes runs actions that lead to another page, and waits for that. It checks the page.
func (b *tab) goes(actions ...chromedp.Action) {
	b.t.Helper()
	require.Equal(b.t, int64(http.StatusOK), b.leaves(actions...), "at %s", b.location())
	b.look()
}

// refused runs actions that lead to a page which says that something is wrong.
func (b *tab) refused(status int, url string, actions ...chromedp.Action) {
	b.t.Helper()
	b.mu.Lock()
	b.expected = append(b.expected, url)
	b.mu.Unlock()
	require.Equal(b.t, int64(status), b.leaves(actions...), "at %s", b.location())
	b.look()
}

func (b *tab) leaves(actions ...chromedp.Action) (status int64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waittest.Bound)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, actions...)
	require.NoError(b.t, err, "at %s:\n%s", b.location(), b.words("body"))
	require.NotNil(b.t, answer)
	return answer.Status
}

// open goes to a page by its path.
func (b *tab) open(path string) {
	b.t.Helper()
	b.goes(chromedp.Navigate(b.base + path))
}

// press follows a link or sends a form with the keyboard, which hits what it means to also where a page that keeps
// itself up to date moves it at that moment.
func (b *tab) press(xpath string) {
	b.t.Helper()
	b.focus(xpath)
	b.goes(chromedp.KeyEvent(kb.Enter))
}

// focus waits until an element is there to be used, and focuses it.
func (b *tab) focus(xpath string) {
	b.t.Helper()
	b.until(`(() => {
		const e = document.evaluate(` + strconv.Quote(xpath) + `, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue;
		e?.focus();
		return e !== null && document.activeElement === e;
	})()`)
}

// fill enters a text in place of what a field has in it.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.Focus(selector, chromedp.ByQuery), chromedp.Evaluate("document.activeElement.select()", nil), chromedp.KeyEvent(text))
}

// signIn enters a key.
func (b *tab) signIn(key string) {
	b.t.Helper()
	b.open("/sign-in")
	b.fill("#key", key)
	b.press(`//button[.="Sign in"]`)
	require.Equal(b.t, b.base+"/", b.location())
}

func (b *tab) location() (url string) {
	b.t.Helper()
	b.do(chromedp.Location(&url))
	return url
}

// until waits for an expression to become true of the page as it stands, without a reload.
func (b *tab) until(expression string) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Run(b.ctx, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(waittest.Bound), chromedp.WithPollingInterval(pause))),
		"%s, at %s:\n%s", expression, b.location(), b.words("body"))
}

const pause = 20 * time.Millisecond

// get evaluates an expression, also one that is a promise.
func get[T any](b *tab, expression string) (value T) {
	b.t.Helper()
	b.do(chromedp.Evaluate(expression, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return value
}

// words is what a person reads in an element.
func (b *tab) words(selector string) (text string) {
	b.t.Helper()
	b.do(chromedp.Text(selector, &text, chromedp.ByQuery))
	return text
}

// allow grants a permission that a person would be asked for.
func (b *tab) allow(permissions ...browser.PermissionType) {
	b.t.Helper()
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		c := chromedp.FromContext(ctx)
		return browser.GrantPermissions(permissions).WithOrigin(b.base).WithBrowserContextID(c.BrowserContextID).Do(cdp.WithExecutor(ctx, c.Browser))
	}))
}
