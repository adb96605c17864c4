package browsertest_test

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A delivery that was refused is found and cancelled, retried by hand once the other side is mended, and seen to arrive
// without a reload.
func TestADeliveryIsRetried(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	var isMended atomic.Bool
	s.destinationThat("shop", "crm", func(w http.ResponseWriter, _ *http.Request) {
		if !isMended.Load() {
			http.Error(w, "no such tenant <b>here</b> "+hostile, http.StatusBadRequest)
		}
	})
	s.clerk(shop, provider.Sample{Type: "user.created", UserID: "user_ada", At: time.Now(), Set: map[string]any{"first_name": hostile}})
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.deliveries WHERE last_status = 400`).Scan(&n))
		return n == 1
	})
	b := s.admin()
	b.open(pathOf(shop.ID.String(), "destinations"))
	b.press(`//th/a[.="crm"]`)
	require.Contains(t, b.words("main"), "400")
	b.press(`//a[starts-with(., "Delivery ")]`)
	require.Contains(t, b.words("#delivery"), "no such tenant <b>here</b>")
	b.focus(`//summary[.="What attempt 1 sent"]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	for _, text := range []string{"POST http://127.0.0.1", `"first_name": "\"'></title></textarea><script>window.__pwned=1</script>`, "Answer: 400", "no such tenant <b>here</b> " + hostile} {
		require.Contains(t, b.words("#attempts"), text)
	}
	b.look()
	b.focus(`//summary[.="Cancel…"]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.press(`//button[.="Cancel the delivery"]`)
	require.Contains(t, b.words("#delivery"), "cancelled", "from now on nobody but a person retries it")
	isMended.Store(true)
	b.press(`//button[.="Retry now"]`)
	b.until(`document.querySelector("#delivery .state").innerText === "delivered"`)
	require.Contains(t, b.words("#delivery"), "Status 200")
	b.look()
}

// The pages of destinations and deliveries are as fit to be used as the others.
func TestDestinationPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.destination("shop", "crm")
	s.history(shop, hostileID, hostile)
	var delivery int64
	waittest.Until(t, func() bool {
		return s.Control.QueryRow(t.Context(), `SELECT id FROM authsync.deliveries WHERE state = 'delivered' ORDER BY id LIMIT 1`).Scan(&delivery) == nil
	})
	b := s.admin()
	id := shop.ID.String()
	for _, path := range []string{
		pathOf(id, "destinations"), pathOf(id, "destinations", "new"), pathOf(id, "destinations", "new") + "?type=webhook", pathOf(id, "destinations", "new") + "?type=hubspot",
		pathOf(id, "destinations", "new") + "?type=http", pathOf(id, "destinations", "crm"), pathOf(id, "destinations", "crm", "change"),
		pathOf(id, "destinations", "crm", "preview"), pathOf(id, "destinations", "crm", "replay"), pathOf(id, "deliveries"), pathOf(id, "deliveries", strconv.FormatInt(delivery, 10)),
		pathOf(id, "records", "user", hostileID),
	} {
		b.open(path)
	}
}
