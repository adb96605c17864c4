package browsertest_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// heldPreviews keeps the timer of a page's previews, and counts what is asked for: a test lets the typing stop. Requests can be
// held, to see that the next one ends them.
const heldPreviews = `(() => {
	const start = window.setTimeout, stop = window.clearTimeout, ask = window.fetch, held = -1;
	window.planned = null; // the preview that is planned, and its pause in ms
	window.asked = []; // bodies
	window.aborted = 0;
	window.holding = false;
	window.setTimeout = (f, ms, ...args) => {
		if (f.name !== "preview") return start(f, ms, ...args);
		window.planned = { f, ms };
		return held;
	};
	window.clearTimeout = (id) => { if (id === held) window.planned = null; else stop(id); };
	window.stopTyping = () => { const { f } = window.planned; window.planned = null; return f(); };
	window.fetch = (url, options) => {
		if (options.method !== "POST") return ask(url, options);
		window.asked.push(options.body.toString());
		if (!window.holding) return ask(url, options);
		return new Promise((_, fail) => options.signal.addEventListener("abort", () => { window.aborted++; fail(options.signal.reason); }));
	};
})()`

// stopsTyping lets the pause behind the last key end, and waits for what that leads to.
func (b *tab) stopsTyping() {
	b.t.Helper()
	get[any](b, `window.stopTyping()`)
}

// A preview follows what is typed: the mapping, the condition and the record. It asks once for many keys, drops what was
// overtaken, says what is wrong, waits as long as the server wants, and takes no secret along.
func TestAPreviewFollowsWhatIsTyped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.clerk(shop,
		provider.Sample{Type: "user.created", UserID: "user_ada", At: time.Now(), Set: map[string]any{"first_name": "Ada"}},
		provider.Sample{Type: "user.created", UserID: "user_grace", At: time.Now(), Set: map[string]any{"first_name": "Grace"}})
	between := &looks{}
	base := between.inFrontOf(t, s.URL)
	b := newBrowser(t, base)
	key, secret, err := s.Store.CreateKey(t.Context(), project.KeyInput{Name: "Ada’s laptop"})
	require.NoError(t, err)
	b.signIn(secret)
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(heldPreviews).Do(ctx)
		return err
	}))
	b.open(pathOf(shop.ID.String(), "destinations", "new") + "?type=http")
	stays := b.stays()

	b.fill(`[name="requests.0.url"]`, "https://crm.example.com/users")
	require.True(t, get[bool](b, `window.planned === null`), "no record is chosen yet")
	b.fill(`[name="new_secret.0.name"]`, "api_key")
	b.fill(`[name="new_secret.0.value"]`, "a secret that stays here")
	b.fill("#preview_id", "user_ada")
	b.fill(`[name="requests.0.body"]`, `{given_name: .user.first_name, key: ($secrets.api_key | length)}`)
	require.Equal(t, 500, get[int](b, `window.planned.ms`))
	require.Zero(t, get[int](b, `window.asked.length`), "somebody is typing")
	b.stopsTyping()
	require.Equal(t, 1, get[int](b, `window.asked.length`))
	require.NotContains(t, get[string](b, `window.asked[0]`), "stays+here")
	require.Contains(t, b.words("#draft"), `"given_name": "Ada"`)
	require.Contains(t, b.words("#draft-state"), "shows what is entered now")
	b.look()

	// What is half typed says what is wrong with it, and is no failure of the page.
	b.fill(`[name="requests.0.body"]`, `{given_name: `)
	b.stopsTyping()
	require.Contains(t, b.words("#draft ul"), "Body")
	b.fill(`[name="requests.0.body"]`, `{given_name: .user.first_name}`)
	b.fill("#condition", `.user.first_name == "Grace"`)
	b.stopsTyping()
	require.Contains(t, b.words("#draft"), "would not be sent to it")

	// The one that is under way is dropped once there is news.
	b.do(chromedp.Evaluate(`window.holding = true`, nil))
	b.fill("#preview_id", "user_ad")
	b.do(chromedp.Evaluate(`void window.stopTyping()`, nil))
	b.do(chromedp.Evaluate(`window.holding = false`, nil))
	b.fill("#preview_id", "user_grace")
	b.stopsTyping()
	require.Equal(t, 1, get[int](b, `window.aborted`))
	require.Contains(t, b.words("#draft"), `"given_name": "Grace"`)
	asked := get[int](b, `window.asked.length`)
	b.do(chromedp.Evaluate(`document.forms[1].dispatchEvent(new Event("input"))`, nil))
	b.stopsTyping()
	require.Equal(t, asked, get[int](b, `window.asked.length`), "nothing has changed")

	// A server that has enough is left alone, however much is typed meanwhile.
	b.expects(base + pathOf(shop.ID.String(), "destinations"))
	between.answer(http.StatusTooManyRequests, "70")
	b.fill("#preview_id", "user_ada")
	b.stopsTyping()
	near := func() {
		t.Helper()
		require.InDelta(t, 70_000, get[int](b, `window.planned.ms`), 5_000)
	}
	near()
	require.Contains(t, b.words("#draft-state"), "could not be made now")
	for n := range 3 {
		b.fill("#preview_id", "user_"+strconv.Itoa(n))
		near()
	}
	require.Equal(t, asked+1, get[int](b, `window.asked.length`))
	between.answer(0, "")
	b.fill("#preview_id", "user_ada")
	b.stopsTyping()
	require.Contains(t, b.words("#draft"), `user_ada`)

	// Enter asks at once, and does not create the destination.
	b.do(chromedp.Focus("#preview_id", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	require.Less(t, get[int](b, `window.planned.ms`), 500)
	b.until(stays)
	var destinations int
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.destinations`).Scan(&destinations))
	require.Zero(t, destinations)
	var recorded int
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.audit_log WHERE action LIKE '%preview%'`).Scan(&recorded))
	require.Zero(t, recorded, "a preview is no action")

	require.NoError(t, s.Store.RevokeKey(t.Context(), key.ID))
	b.stopsTyping()
	b.until(`document.getElementById("draft-state").textContent.includes("signed out")`)
	b.fill("#preview_id", "user_grace")
	require.True(t, get[bool](b, `window.planned === null`), "nobody is signed in")
}

// Without JavaScript a button makes the preview, and nothing is created.
func (b *tab) previewsByButton(s *site, shop project.Project) {
	b.t.Helper()
	require.Equal(b.t, int64(http.StatusOK), b.leaves(chromedp.Navigate(s.URL+pathOf(shop.ID.String(), "destinations", "new")+"?type=webhook")))
	b.do(chromedp.SendKeys("#preview_id", "user_ada", chromedp.ByQuery), chromedp.SetValue(`[name="options.url"]`, "https://app.example.com/hook", chromedp.ByQuery))
	require.Equal(b.t, int64(http.StatusOK), b.leaves(chromedp.Click(`//button[.="Preview"]`, chromedp.BySearch)))
	require.True(b.t, strings.HasSuffix(b.location(), "#draft"), b.location())
	require.Contains(b.t, b.words("#draft"), "https://app.example.com/hook")
}
