package syncrun

import (
	"fmt"
	"math"
	"strconv"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
)

// Drift is how the mirror and the provider differed when a reconcile compared them. A user counts
// in one of the first five fields.
type Drift struct {
	// Missing users are not in the mirror, or only as placeholders.
	Missing   int64 `json:"missing"`
	Differing int64 `json:"differing"`
	// DeletedHere users are deleted in the mirror although the provider has them.
	DeletedHere int64 `json:"deleted_here"`
	// Orphaned users are in the mirror, but the provider no longer has them.
	Orphaned int64 `json:"orphaned"`
	// Placeholders are rows of ensure_user with ids that the provider does not know.
	Placeholders int64 `json:"placeholders"`
	// Columns counts differing users by column.
	Columns map[string]int64 `json:"columns"`

	// Unreported users differ only in what the provider sends no event for, such as the last
	// sign-in. They are updated and do not count as drift, because nothing went wrong.
	Unreported int64 `json:"unreported"`
	// Tolerated counts users by other differences that do not count: keys of raw that one form of a
	// user object lacks or that are only momentarily true.
	Tolerated map[string]int64 `json:"tolerated"`

	// Repaired counts users updated to match the provider, Failed those that could not be, with the
	// reason in the report. Left counts those left alone: all in a dry run, otherwise those that
	// DeletionsBlockedReason is about.
	Repaired int64 `json:"repaired"`
	Failed   int64 `json:"failed"`
	Left     int64 `json:"left"`
	// DeletionsBlockedReason says why orphaned users were not deleted; nil if they were.
	DeletionsBlockedReason *string `json:"deletions_blocked_reason"`
	// Users are the first hundred differing users.
	Users []mirror.Drifted `json:"users"`

	// Compared is the number of the provider's live users that the mirror had before.
	Compared int64 `json:"compared"`
	// Restarts is how often the walk was restarted.
	Restarts int `json:"restarts,omitempty"`
}

// Found returns the number of differing users.
func (d *Drift) Found() int64 {
	return d.Missing + d.Differing + d.DeletedHere + d.Orphaned + d.Placeholders
}

// maxDrifted is the number of differing users reported by id.
const maxDrifted = 100

// add adds the totals of the findings.
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

// maxTolerated is the number of keys counted by name: users may have any keys.
const maxTolerated = 100

// tolerate counts a user's tolerated differences.
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
	// defaultMaxDeleted is the share of users, in percent, above which a reconcile deletes none
	// unless forced.
	defaultMaxDeleted = 5.0
	// alwaysDeleted is the number of users that may be deleted whatever their share: each is proven
	// to be gone, and in a small mirror one user is a large share. It does not apply if the list
	// has none of the mirror's users, because it is then probably another instance's.
	alwaysDeleted = 10
)

// blockDeletions says why orphaned users must not be deleted and placeholders not abandoned; nil if
// they may. met is the number of users that the walk saw, said the provider's own count (nil if it
// gives none). Placeholders do not count towards the share, because nothing is lost with them, but
// an untrustworthy list decides on none.
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
