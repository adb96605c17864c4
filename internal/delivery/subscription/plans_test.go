package subscription_test

import (
	"testing"

	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(p *deliverytest.Plans) map[string]deliverytest.Statement {
		return map[string]deliverytest.Statement{
			"Withheld": deliverytest.RunPlanned(subscription.SelectWithheld, p.DestinationID, []string{"user", "user", "membership"},
				[]string{"held-7", "user-7", "org/user-7"}),
		}
	})
}
