package subscription

// The bounds of the filters that are kept.
const (
	MaxFilters = maxFilters
	KeepFilter = keepFilter
)

// SelectWithheld is run by the tests of plans.
const SelectWithheld = selectWithheld

// FilterOf is the filter that is kept of a subscription.
func (a *Filters) FilterOf(s *Subscription) Filter { return a.filter(s).Filter }

// Len is how many are kept.
func (a *Filters) Len() int { return len(a.all) }
