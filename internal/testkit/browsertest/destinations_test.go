package browsertest_test

import (
	"strconv"
	"testing"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// The pages of destinations and deliveries are as fit to be used as the others.
func TestDestinationPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.shop()
	s.destination("shop", "crm")
	s.history(shop, hostileID, hostile)
	var delivery int64
	waittest.Until(t, func() bool {
		return s.control.QueryRow(t.Context(), `SELECT id FROM authsync.deliveries WHERE state = 'delivered' ORDER BY id LIMIT 1`).Scan(&delivery) == nil
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
