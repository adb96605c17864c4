package admin_test

import (
	"testing"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		d, one := p.DestinationID, p.Ready[0]
		return map[string]deliverytest.Statement{
			"Requeue":      deliverytest.Run(`SELECT authsync.requeue_deliveries($1, $2)`, d, p.Failed),
			"Retry":        deliverytest.Run(`SELECT * FROM authsync.retry_delivery($1, $2)`, p.ProjectID, one),
			"Cancel":       deliverytest.Run(`SELECT authsync.cancel_delivery($1, $2, now())`, p.ProjectID, one),
			"SelectKnown":  deliverytest.RunPlanned(admin.SelectKnown, d, []int64{1003, 1006, 1009}),
			"List":         deliverytest.RunPlanned(admin.ListDeliveries, p.ProjectID, nil, nil, nil, nil, nil, nil, int64(0), deliverytest.PlanAsked),
			"ListOfUser":   deliverytest.RunPlanned(admin.ListDeliveries, p.ProjectID, d, nil, "user-7", nil, nil, nil, int64(0), deliverytest.PlanAsked),
			"ListOfRecord": deliverytest.RunPlanned(admin.ListDeliveries, p.ProjectID, d, nil, nil, nil, "user", "user-7", int64(0), deliverytest.PlanAsked),
			"Find":         deliverytest.RunPlanned(admin.FindDelivery, p.ProjectID, one),
		}
	})
}
