package relay_test

import (
	"testing"

	"github.com/authsync/authsync/internal/delivery/relay"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		const (
			changes = `(
				SELECT jsonb_agg(jsonb_build_object(
					'change_id', 1000000 + i, 'record_type', 'user', 'record_id', format('user-%s', 7 * i),
					'order_key', format('user:user-%s', 7 * i), 'event_type', 'user.updated', 'changed', ARRAY['email'], 'changed_at', now(), 'event_id', 'e'))
				FROM generate_series(1, 20) AS i)`
			known  = `ARRAY(SELECT 1000 + 3 * i FROM generate_series(1, 20) AS i)`
			users  = `ARRAY(SELECT format('user-%s', i) FROM generate_series(1, 20) AS i)`
			events = `ARRAY(SELECT 'evt-' || 3 * i FROM generate_series(1, 20) AS i)`
		)
		return map[string]deliverytest.Statement{
			"Subscribers":    deliverytest.RunPlanned(relay.SelectSubscribers, p.ProjectID),
			"RelayPage":      deliverytest.Run(`SELECT authsync.relay_page($1, 1000000, 2000000, `+changes+`, now())`, p.DestinationID),
			"ReleaseNothing": deliverytest.Run(`SELECT authsync.release_due_deliveries($1, now() - interval '1 day', 500)`, p.DestinationID),
			"ReleaseSome":    deliverytest.Run(`SELECT authsync.release_due_deliveries($1, now() + interval '1 day', 20)`, p.DestinationID),
			"Repeats": deliverytest.Run(`SELECT * FROM authsync.repeated_changes($1, 1000000, now(), `+known+`, array_fill('user'::text, ARRAY[20]), `+users+`,
				`+users+`, array_fill(NULL::text, ARRAY[20]), `+events+`, array_fill('auth0'::text, ARRAY[20]), array_fill(now(), ARRAY[20]))`, p.DestinationID),
			"RepeatsOfMemberships": deliverytest.Run(`SELECT * FROM authsync.repeated_changes($1, 1000000, now(), `+known+`, array_fill('membership'::text, ARRAY[20]),
				ARRAY(SELECT 'org/' || u FROM unnest(`+users+`) AS u), `+users+`, array_fill('org'::text, ARRAY[20]), `+events+`, array_fill('auth0'::text, ARRAY[20]),
				array_fill(now(), ARRAY[20]))`, p.DestinationID),
		}
	})
}
