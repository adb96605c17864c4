package syncrun

import (
	"fmt"
	"math"
	"strconv"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
)

// Drift is how the mirror and the provider differed when a reconcile compared
// them. A user counts under one of the first five.
type Drift struct {
	// Missing users are not in the mirror, or as placeholders only.
	Missing   int64 `json:"missing"`
	Differing int64 `json:"differing"`
	// DeletedHere are deleted in the mirror although the provider has them.
	DeletedHere int64 `json:"deleted_here"`
	// Orphaned users are in the mirror, and the provider does not have them.
	Orphaned int64 `json:"orphaned"`
	// Placeholders are rows of ensure_user whose id the provider does not know.
	Placeholders int64 `json:"placeholders"`
	// Columns says how many users differ in which column.
	Columns map[string]int64 `json:"columns"`

	// Unreported users differ in nothing but what the provider sends no event for, such as the
	// last sign-in. They are brought up to date, and are no drift: nothing went wrong.
	Unreported int64 `json:"unreported"`
	// Tolerated says what else differs and does not count, in how many users: a key of raw of
	// which the one form of a user object says nothing, or only what is true at this moment.
	Tolerated map[string]int64 `json:"tolerated"`

	// Repaired is how many of them were brought to what the provider says, Failed how
	// many could not be, with the reason in the report. Left are those that nothing
	// was done about: of a dry run all, else those that DeletionsBlockedReason is about.
	Repaired int64 `json:"repaired"`
	Failed   int64 `json:"failed"`
	Left     int64 `json:"left"`
	// DeletionsBlockedReason says why orphaned users were not deleted; nil: they were.
	DeletionsBlockedReason *string `json:"deletions_blocked_reason"`
	// Users are the first hundred of them.
	Users []mirror.Drifted `json:"users"`

	// Compared is how many live users of the provider the mirror had before.
	Compared int64 `json:"compared"`
	// Restarts is how often the walk began anew.
	Restarts int `json:"restarts,omitempty"`
}

// Found is how many users differ.
func (d *Drift) Found() int64 {
	return d.Missing + d.Differing + d.DeletedHere + d.Orphaned + d.Placeholders
}

// maxDrifted is how many users that differ are reported by their ids.
const maxDrifted = 100

// add takes the totals of the findings over.
func (d *Drift) add(t mirror.Totals) {
	d.Missing, d.Differing, d.DeletedHere, d.Orphaned, d.Placeholders = 0, 0, 0, 0, 0
	d.Repaired, d.Failed, d.Left, d.Unreported = 0, 0, 0, 0
	for _, tally := range t.Tallies {
		switch tally.Finding {
		case mirror.Unreported:
			d.Unreported += tally.Users
			if tally.State == mirror.StateFailed {
				d.Failed += tally.Users
			}
			continue
		case mirror.Missing:
			d.Missing += tally.Users
		case mirror.Differing:
			d.Differing += tally.Users
		case mirror.Deleted:
			d.DeletedHere += tally.Users
		case mirror.Orphaned:
			d.Orphaned += tally.Users
		case mirror.Placeholder:
			d.Placeholders += tally.Users
		}
		switch tally.State {
		case mirror.StateRepaired:
			d.Repaired += tally.Users
		case mirror.StateFailed:
			d.Failed += tally.Users
		default:
			d.Left += tally.Users
		}
	}
	d.Columns, d.Users = t.Columns, t.Users
	if d.Tolerated == nil {
		d.Tolerated = map[string]int64{}
	}
	if d.Users == nil {
		d.Users = []mirror.Drifted{}
	}
}

// maxTolerated is how many keys are counted by name: users may have any keys.
const maxTolerated = 100

// tolerate counts what differs in a user and does not count.
func (d *Drift) tolerate(names []string) {
	for _, name := range names {
		if d.Tolerated == nil {
			d.Tolerated = make(map[string]int64)
		}
		if _, known := d.Tolerated[name]; !known && len(d.Tolerated) >= maxTolerated || len(name) > 200 {
			name = "raw.…"
		}
		d.Tolerated[name]++
	}
}

const (
	// defaultMaxDeleted is the share of users, in percent, beyond which a reconcile
	// deletes none unless it is told to.
	defaultMaxDeleted = 5.0
	// alwaysDeleted is how many users it deletes whatever their share: each has been proven
	// to be gone, and in a small mirror one is a large share. Not if the list has none of
	// the mirror's users: then it is likely another instance's.
	alwaysDeleted = 10
)

// blockDeletions says why orphaned users must not be deleted, nor placeholders be given
// up; nil: they may be. met is how many users the walk has met, said how many the
// provider says it has (nil: it does not say). Placeholders do not count for the share:
// nothing is lost with them. But a list that is not to be trusted decides on none.
func (d *Drift) blockDeletions(met int64, said *int64, o Order, options *provider.ReconcileOptions) *string {
	limit, few := defaultMaxDeleted, d.Orphaned <= alwaysDeleted && d.Orphaned < d.Compared
	if options != nil && options.MaxDeletedPercent != nil {
		limit, few = *options.MaxDeletedPercent, false
	}
	var reason string
	switch share := 100 * float64(d.Orphaned) / float64(max(d.Compared, 1)); {
	case d.Orphaned+d.Placeholders == 0:
		return nil
	case met == 0:
		reason = "the provider listed no user at all; no user is deleted by an empty list"
	case said != nil && met < *said-*said/100:
		reason = fmt.Sprintf("the provider says that it has %d users but listed %d; no user is deleted by a short list", *said, met)
	case share > limit && !few && !o.Force:
		reason = fmt.Sprintf("%d of %d users of the mirror were not in the provider's list: %s %%, where the limit is %s %% "+
			"(option reconcile.max_deleted_percent). If the list is right (is the key that of this instance?), run it again with --force (in the API: force)",
			d.Orphaned, d.Compared, percent(share), percent(limit))
	default:
		return nil
	}
	return &reason
}

func percent(share float64) string { return strconv.FormatFloat(math.Round(share*10)/10, 'f', -1, 64) }
