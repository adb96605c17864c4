package browsertest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

// looks is a proxy that may answer the looks for news in place of the server.
type looks struct {
	mu         sync.Mutex
	status     int // 0: the server answers
	retryAfter string
}

func (l *looks) answer(status int, retryAfter string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status, l.retryAfter = status, retryAfter
}

// inFrontOf serves what a server serves, and gives the URL.
func (l *looks) inFrontOf(t *testing.T, server string) string {
	t.Helper()
	target, err := url.Parse(server)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Transport: &http.Transport{DisableKeepAlives: true}, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which the browser compares forms with
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		status, retryAfter := l.status, l.retryAfter
		l.mu.Unlock()
		if r.Header.Get("Authsync-Look") == "" || status == 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// heldClock keeps the timers of a page's looks, and whether it is seen: a test lets them end.
const heldClock = `(() => {
	const start = window.setTimeout, stop = window.clearTimeout, held = -1;
	window.planned = null; // the look that is planned, and its pause in ms
	window.setTimeout = (f, ms, ...args) => {
		if (f.name !== "look") return start(f, ms, ...args);
		window.planned = { f, ms };
		return held;
	};
	window.clearTimeout = (id) => { if (id === held) window.planned = null; else stop(id); };
	window.elapse = () => { const { f } = window.planned; window.planned = null; f(); };
	let hidden = false;
	Object.defineProperty(document, "hidden", { get: () => hidden });
	window.hide = (is) => { hidden = is; document.dispatchEvent(new Event("visibilitychange")); };
})()`

// elapses lets the pause before the next look end, and gives the one after it in ms.
func (b *tab) elapses() (pause int) {
	b.t.Helper()
	b.do(chromedp.Evaluate(`window.elapse()`, nil))
	b.until(`window.planned !== null`)
	return get[int](b, `window.planned.ms`)
}

// A page asks for news less often while that fails, never before the server wants to be asked, and not while nobody sees it
// or is signed in.
func TestAPageLooksForNewsAsTheServerSays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	between := &looks{}
	base := between.inFrontOf(t, s.URL)
	key, secret, err := s.Store.CreateKey(t.Context(), project.KeyInput{Name: "Ada’s laptop"})
	require.NoError(t, err)
	b := newBrowser(t, base)
	b.signIn(secret)
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(heldClock).Do(ctx)
		return err
	}))
	events := base + pathOf(shop.ID.String(), "events")
	b.leaves(chromedp.Navigate(events))
	b.expects(events)
	b.until(`window.planned !== null`)
	const often = 3000 // ms
	near := func(pause, got int) {
		t.Helper()
		require.InDelta(t, pause, got, 500) // the clock of the page goes on
	}
	near(often, get[int](b, `window.planned.ms`))
	near(often, b.elapses())

	between.answer(http.StatusServiceUnavailable, "70")
	near(70_000, b.elapses())
	require.Empty(t, b.words("#live"))
	between.answer(http.StatusTooManyRequests, "")
	near(4*often, b.elapses())
	between.answer(http.StatusInternalServerError, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	require.Greater(t, b.elapses(), 3_500_000)
	require.Contains(t, b.words("#live"), "may be out of date")
	between.answer(http.StatusBadGateway, "nonsense")
	near(16*often, b.elapses())
	for range 3 {
		b.elapses()
	}
	near(120_000, b.elapses())

	between.answer(0, "")
	near(often, b.elapses())
	require.Empty(t, b.words("#live"))

	b.do(chromedp.Evaluate(`window.hide(true)`, nil))
	require.True(t, get[bool](b, `window.planned === null`))
	b.do(chromedp.Evaluate(`window.hide(false)`, nil))
	b.until(`window.planned !== null`)

	require.NoError(t, s.Store.RevokeKey(t.Context(), key.ID))
	b.do(chromedp.Evaluate(`window.elapse()`, nil))
	b.until(`document.getElementById("live").textContent.includes("signed out")`)
	require.True(t, get[bool](b, `window.planned === null`))
	b.look()
	b.press(`//a[.="Sign in again"]`)
	require.True(t, strings.HasSuffix(b.location(), "/sign-in?next="+url.QueryEscape(pathOf(shop.ID.String(), "events"))), b.location())
}
