package admin_test

import (
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// list runs a statement of a list as ListDeliveries does.
func list(statement string, args ...any) deliverytest.Statement {
	return func(t *testing.T, tx pgx.Tx) {
		t.Helper()
		for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
			_, err := tx.Exec(t.Context(), setting)
			require.NoError(t, err)
		}
		before := pgtest.IndexBlocksRead(t, tx, "authsync")
		deliverytest.RunPlanned(statement, args...)(t, tx)
		const aSearch, searches = 3, 3 * 8 // of three destinations, in eight states
		require.LessOrEqual(t, pgtest.IndexBlocksRead(t, tx, "authsync")-before, int64(aSearch*searches+40), "%s", args)
	}
}

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		d, one, newest := p.DestinationID, p.Ready[0], int64(math.MaxInt64)
		return map[string]deliverytest.Statement{
			"Requeue":               deliverytest.Run(`SELECT authsync.requeue_deliveries($1, $2)`, d, p.Failed),
			"Retry":                 deliverytest.Run(`SELECT * FROM authsync.retry_delivery($1, $2)`, p.ProjectID, one),
			"Cancel":                deliverytest.Run(`SELECT authsync.cancel_delivery($1, $2, now())`, p.ProjectID, one),
			"Confirm":               deliverytest.Run(`SELECT authsync.release_deliveries($1, $2, now())`, d, p.Held),
			"CancelOneHeld":         deliverytest.Run(`SELECT authsync.cancel_delivery($1, $2, now())`, p.ProjectID, p.Held[0]),
			"SelectHeld":            deliverytest.RunPlanned(admin.SelectHeld, p.ProjectID, one),
			"SelectConfirmed":       list(admin.SelectConfirmed, p.ProjectID, d, newest, nil, nil, nil, nil, deliverytest.PlanAsked),
			"SelectKnown":           deliverytest.RunPlanned(admin.SelectKnown, d, []int64{1003, 1006, 1009}),
			"List":                  list(admin.ListDeliveries, p.ProjectID, nil, newest, deliverytest.PlanAsked),
			"ListOfADestination":    list(admin.ListDeliveries, p.ProjectID, d, newest, deliverytest.PlanAsked),
			"ListOfAnUnusedOne":     list(admin.ListDeliveries, p.ProjectID, uuid.New(), newest, deliverytest.PlanAsked),
			"ListOfAState":          list(admin.ListDeliveriesInState, p.ProjectID, nil, newest, deliverytest.PlanAsked, "failed"),
			"ListOfARareState":      list(admin.ListDeliveriesInState, p.ProjectID, nil, newest, deliverytest.PlanAsked, "cancelled"),
			"ListOfARareStateOfOne": list(admin.ListDeliveriesInState, p.ProjectID, d, newest, deliverytest.PlanAsked, "retrying"),
			"ListOfTheDelivered":    list(admin.ListDeliveriesInState, p.ProjectID, d, newest, deliverytest.PlanAsked, "delivered"),
			"ListOfAType":           list(admin.ListDeliveriesOfType, p.ProjectID, nil, newest, deliverytest.PlanAsked, "user.updated", delivery.States()),
			"ListOfARareType":       list(admin.ListDeliveriesOfType, p.ProjectID, nil, newest, deliverytest.PlanAsked, "user.deleted", delivery.States()),
			"ListOfARareTypeOfOne":  list(admin.ListDeliveriesOfType, p.ProjectID, d, newest, deliverytest.PlanAsked, "membership.updated", []string{"failed"}),
			"ListOfUser":            list(admin.ListDeliveriesOf, p.ProjectID, d, newest, deliverytest.PlanAsked, "user-7", nil, nil, nil, nil),
			"ListOfRecord":          list(admin.ListDeliveriesOf, p.ProjectID, d, newest, deliverytest.PlanAsked, nil, "user-7", "user", nil, nil),
			"Find":                  deliverytest.RunPlanned(admin.FindDelivery, p.ProjectID, one),
		}
	})
}
