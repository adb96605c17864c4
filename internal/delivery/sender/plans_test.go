package sender_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/delivery/sender"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		const (
			results = `(
				SELECT jsonb_agg(jsonb_build_object(
					'id', t.id, 'state', t.state, 'attempts', t.attempts, 'coalesced', t.coalesced, 'outcome', $3::text, 'send', t.id,
					'status', 200, 'next_attempt_at', now(), 'keeps_external_id', false, 'external_id', 'contact'))
				FROM authsync.take_deliveries($1, $2, 20, '{}', NULL, NULL) AS t)`
			record = `SELECT * FROM authsync.record_deliveries($1, ` + results + `, now(), 100, '1 minute', '1 minute', '1 day')`
		)
		d, one := p.DestinationID, p.Ready[0]
		return map[string]deliverytest.Statement{
			"TakeEvents":   deliverytest.Run(`SELECT * FROM authsync.take_deliveries($1, false, 20, '{}', NULL, NULL)`, d),
			"TakeStates":   deliverytest.Run(`SELECT * FROM authsync.take_deliveries($1, true, 20, '{}', NULL, NULL)`, d),
			"TakeOne":      deliverytest.Run(`SELECT * FROM authsync.take_deliveries($1, true, 1, '{}', $2, 'ready')`, d, one),
			"Begin":        deliverytest.Run(`SELECT authsync.begin_deliveries($1, $2, $2, now())`, d, p.Ready),
			"Record":       deliverytest.Run(record, d, false, "delivered"),
			"RecordStates": deliverytest.Run(record, d, true, "delivered"),
			"RecordFailed": deliverytest.Run(record, d, false, "failed"),
			"RecordRetry":  deliverytest.Run(record, d, false, "retry"),
			"ChooseProbe":  deliverytest.Run(`SELECT authsync.choose_probe($1)`, d),
			"Target":       deliverytest.Run(sender.SelectTarget, d),
			"Lease":        deliverytest.Run(sender.LeaseDestination, d, uuid.New(), "me", int64(1), 1.0),
			"Return":       deliverytest.Run(`SELECT authsync.return_delivery($1)`, one),
			"Deferrals":    deliverytest.RunPlanned(sender.SelectDeferrals, p.Ready),
			"SelectRetry":  deliverytest.RunPlanned(sender.SelectRetry, one),
		}
	})
}
