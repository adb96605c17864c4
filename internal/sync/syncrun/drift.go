package syncrun

import (
	"fmt"
	"maps"
	"math"
	"strconv"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// TypeDrift is how the mirror and the provider differed in the records of one type. A record counts
// in one of the first five fields.
type TypeDrift struct {
	// Missing records are not in the mirror, or only as placeholders.
	Missing   int64 `json:"missing"`
	Differing int64 `json:"differing"`
	// DeletedHere records are deleted in the mirror although the provider has them.
	DeletedHere int64 `json:"deleted_here"`
	// Orphaned records are in the mirror, but the provider no longer has them.
	Orphaned int64 `json:"orphaned"`
	// Placeholders are rows of ensure_user or ensure_organization with ids that the provider does not know.
	Placeholders int64 `json:"placeholders"`
	// Columns counts differing records by column.
	Columns map[string]int64 `json:"columns"`

	// Unreported records differ only in what the provider sends no event for, such as the last
	// sign-in. They are updated and do not count as drift, because nothing went wrong.
	Unreported int64 `json:"unreported"`
	// Tolerated counts records by other differences that do not count: keys of raw that one form of an
	// object lacks or that are only momentarily true.
	Tolerated map[string]int64 `json:"tolerated"`

	// Repaired counts records updated to match the provider, Failed those that could not be, with the
	// reason in the report. Left counts those left alone: all in a dry run, otherwise those that
	// DeletionsBlockedReason is about.
	Repaired int64 `json:"repaired"`
	Failed   int64 `json:"failed"`
	Left     int64 `json:"left"`
	// Recent records count as none of these: what the mirror last heard of them is newer than what the
	// provider's answers are certain to know. The next run compares them.
	Recent int64 `json:"recent"`
	// DeletionsBlockedReason says why orphaned records were not deleted; nil if they were.
	DeletionsBlockedReason *string `json:"deletions_blocked_reason"`

	// Compared is the number of the provider's live records that the mirror had before.
	Compared int64 `json:"compared"`
}

// Found returns the number of differing records.
func (d *TypeDrift) Found() int64 {
	return d.Missing + d.Differing + d.DeletedHere + d.Orphaned + d.Placeholders
}

// Drift is how the mirror and the provider differed when a reconcile compared them: in users, and in
// other records.
type Drift struct {
	TypeDrift

	// Users are the first hundred differing users.
	Users []mirror.Drifted `json:"users"`
	// Records are the other types that were read; nil if none were.
	Records map[record.Type]*RecordDrift `json:"records,omitempty"`
	// Restarts is how often the walk was restarted.
	Restarts int `json:"restarts,omitempty"`
}

// RecordDrift is the drift of a type other than users.
type RecordDrift struct {
	TypeDrift

	// Examples are the first hundred differing records.
	Examples []mirror.Drifted `json:"examples"`
	// UnlistedReason says why the provider's list was not read to its end: then none of the type
	// counts as orphaned. Nil: it was.
	UnlistedReason *string `json:"unlisted_reason"`
}

// of returns the part of a type; nil if it is not compared.
func (d *Drift) of(t record.Type) *TypeDrift {
	if t == record.User {
		return &d.TypeDrift
	}
	if of := d.Records[t]; of != nil {
		return &of.TypeDrift
	}
	return nil
}

// types returns the compared types, users first, in the sequence in which they are repaired: those
// that others refer to come first.
func (d *Drift) types() []record.Type {
	types := []record.Type{record.User}
	for _, of := range record.Listed() {
		if d.Records[of.Type] != nil {
			types = append(types, of.Type)
		}
	}
	return types
}

// isListed reports whether the list of a type was read to its end, so that what it does not have may
// be gone.
func (d *Drift) isListed(t record.Type) bool {
	return t == record.User || d.Records[t] != nil && d.Records[t].UnlistedReason == nil
}

// unlist notes that the list of a type was not read to its end. The first reason stays.
func (d *Drift) unlist(t record.Type, reason string) {
	if of := d.Records[t]; of != nil && of.UnlistedReason == nil {
		of.UnlistedReason = &reason
	}
}

// Found returns the number of differing records of all types.
func (d *Drift) Found() int64 {
	found := d.TypeDrift.Found()
	for _, of := range d.Records {
		found += of.Found()
	}
	return found
}

// clone returns a copy that may be modified.
func (d *Drift) clone() Drift {
	c := *d
	c.Tolerated = maps.Clone(d.Tolerated)
	c.Records = maps.Clone(d.Records)
	for t, of := range d.Records {
		copied := *of
		copied.Tolerated = maps.Clone(of.Tolerated)
		c.Records[t] = &copied
	}
	return c
}

// maxDrifted is the number of differing records of a type reported by id.
const maxDrifted = 100

// add adds the totals of the findings about a type.
func (d *Drift) add(t record.Type, totals mirror.Totals) {
	drifted := totals.Drifted
	if drifted == nil {
		drifted = []mirror.Drifted{}
	}
	if t == record.User {
		d.Users = drifted
	} else {
		d.Records[t].Examples = drifted
	}
	d.of(t).add(totals)
}

func (d *TypeDrift) add(t mirror.Totals) {
	d.Missing, d.Differing, d.DeletedHere, d.Orphaned, d.Placeholders = 0, 0, 0, 0, 0
	d.Repaired, d.Failed, d.Left, d.Unreported, d.Recent = 0, 0, 0, 0, 0
	for _, tally := range t.Tallies {
		if tally.State == mirror.StateRecent {
			d.Recent += tally.Records
			continue
		}
		switch tally.Finding {
		case mirror.Unreported:
			d.Unreported += tally.Records
			if tally.State == mirror.StateFailed {
				d.Failed += tally.Records
			}
			continue
		case mirror.Missing:
			d.Missing += tally.Records
		case mirror.Differing:
			d.Differing += tally.Records
		case mirror.Deleted:
			d.DeletedHere += tally.Records
		case mirror.Orphaned:
			d.Orphaned += tally.Records
		case mirror.Placeholder:
			d.Placeholders += tally.Records
		}
		switch tally.State {
		case mirror.StateRepaired:
			d.Repaired += tally.Records
		case mirror.StateFailed:
			d.Failed += tally.Records
		default:
			d.Left += tally.Records
		}
	}
	d.Columns = t.Columns
	if d.Tolerated == nil {
		d.Tolerated = map[string]int64{}
	}
}

// maxTolerated is the number of keys counted by name: objects may have any keys.
const maxTolerated = 100

// tolerate counts a record's tolerated differences.
func (d *TypeDrift) tolerate(names []string) {
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
	// defaultMaxDeleted is the share of records of a type, in percent, above which a reconcile deletes none
	// unless forced.
	defaultMaxDeleted = 5.0
	// alwaysDeleted is the number of records of a type that may be deleted whatever their share: each is
	// proven to be gone, and in a small mirror one is a large share. It does not apply if the list of
	// users has none of the mirror's users, because it is then probably another instance's.
	alwaysDeleted = 10
)

// guard is what decides whether the orphaned records of a type may be deleted.
type guard struct {
	of record.Type
	// met is the number of records that the walk saw, said the provider's own count (nil if it gives
	// none).
	met  int64
	said *int64
	// isKnown reports that the walk over the users saw users of the mirror: the account is the right
	// one. That is required for users anyway.
	isKnown bool
	order   Order
	options *provider.ReconcileOptions
}

// blockDeletions says why orphaned records must not be deleted and placeholders not abandoned; nil if
// they may. Placeholders do not count towards the share, because nothing is lost with them, but
// an untrustworthy list decides on none. An empty list of users is never trusted. One of other records
// is, as far as a few of them go. Invitations end by being accepted, and Auth0 sends no event for it: any
// number of them counts as few.
func (d *TypeDrift) blockDeletions(g guard) *string {
	limit, few := defaultMaxDeleted, (d.Orphaned <= alwaysDeleted || g.of == record.Invitation) && g.isKnown
	isEmpty := g.met == 0 && (g.of == record.User || !few)
	if g.options != nil && g.options.MaxDeletedPercent != nil {
		limit, few = *g.options.MaxDeletedPercent, false
	}
	met, said := g.met, g.said
	var reason string
	switch share := 100 * float64(d.Orphaned) / float64(max(d.Compared, 1)); {
	case d.Orphaned+d.Placeholders == 0:
		return nil
	case isEmpty:
		reason = fmt.Sprintf("the provider listed no %[1]s at all; no %[1]s is deleted by an empty list", g.of)
	case said != nil && met < *said-*said/100:
		reason = fmt.Sprintf("the provider says that it has %s but listed %d; no user is deleted by a short list", plural.Of(*said, "user"), met)
	case share > limit && !few && !g.order.Force:
		reason = fmt.Sprintf("%d of %d %ss of the mirror were not in the provider's list: %s %%, where the limit is %s %% "+
			"(option reconcile.max_deleted_percent). If the list is right (is the key that of this instance?), run it again with --force (in the API: force)",
			d.Orphaned, d.Compared, g.of, percent(share), percent(limit))
	default:
		return nil
	}
	return &reason
}

func percent(share float64) string { return strconv.FormatFloat(math.Round(share*10)/10, 'f', -1, 64) }
