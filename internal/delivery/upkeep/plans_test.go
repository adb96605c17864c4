package upkeep_test

import (
	"testing"
	"time"

	"github.com/authsync/authsync/internal/delivery/upkeep"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	deliverytest.CheckPlans(t, func(*deliverytest.Plans) map[string]deliverytest.Statement {
		return map[string]deliverytest.Statement{
			"ToRescue":       deliverytest.RunPlanned(upkeep.SelectToRescue, time.Now()),
			"NothingIsDue":   deliverytest.RunPlanned(upkeep.RequestDue, time.Now().Add(-24*time.Hour)),
			"SomethingIsDue": deliverytest.RunPlanned(upkeep.RequestDue, time.Now().Add(24*time.Hour)),
		}
	})
}
