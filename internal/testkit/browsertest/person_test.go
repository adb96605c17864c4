package browsertest_test

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

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
	b.expects(url)
	require.Equal(b.t, int64(status), b.leaves(actions...), "at %s", b.location())
	b.look()
}

// expects that requests to a URL are answered with an error from now on.
func (b *tab) expects(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, url)
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

// walk follows a link or sends a form as press does, to a page of a kind that is checked elsewhere.
func (b *tab) walk(xpath string) {
	b.t.Helper()
	b.focus(xpath)
	require.Equal(b.t, int64(http.StatusOK), b.leaves(chromedp.KeyEvent(kb.Enter)), "at %s", b.location())
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
