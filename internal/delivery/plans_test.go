package delivery_test

import (
	"testing"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		return map[string]deliverytest.Statement{
			"RequestRelay":    deliverytest.Run(delivery.RequestRelayOf, p.ProjectID),
			"RequestDelivery": deliverytest.Run(delivery.RequestDeliveryOf, p.DestinationID),
			"TakePermit":      deliverytest.Run(`SELECT * FROM authsync.take_permit('account', 'class', 10, '1 second', 0, 'UTC', '0 s', '1 s', now())`),
		}
	})
}
