package syncrun

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// A reconcile has four phases. Each finding is recorded in the project's database before anything
// is repaired, so that an interruption neither loses nor repeats one.
//
//	walk      compare each page of users with the mirror in SQL; apply users that are
//	          missing or differ, as the page has them. If the mirror has a newer event, or
//	          the page is incomplete, the user stays open.
//	records   the same for organizations, memberships and invitations, as far as the
//	          provider lists them; see records.go
//	orphaned  find records of the mirror that the lists did not have, type by type; they
//	          are open, too, and so are placeholders. A type whose list was not read to
//	          its end has none. What belongs to an orphaned organization or user is not
//	          noted: its deletion follows from theirs (capydb_auth.cascade_deletions). What is
//	          deleted only with one that comes back in this run is noted.
//	confirm   ask the provider about every open record, one by one, and repair or
//	          delete accordingly. This answer is final, unless it lags (userapi.Lagger) and the
//	          mirror has heard of something that it may not know: then the record is left to the
//	          next run. What proves that a record is gone is said at Record of each
//	          provider's source.
//
// If there are too many orphaned records and placeholders of a type, they are neither asked about nor
// deleted: see TypeDrift.blockDeletions.
func (s *slice) reconcile(ctx context.Context) error {
	s.findings = s.config.Mirrors.Reconcile(s.row.ProjectID, s.row.ID, s.row.Provider)
	if s.row.Pages == 0 {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	if s.row.Phase == Walk {
		if err := s.walk(ctx, s.compare); err != nil {
			return err
		}
	}
	if s.row.Phase == Records {
		if err := s.records(ctx); err != nil {
			return err
		}
	}
	for s.row.Phase == Orphaned {
		if err := s.findOrphaned(ctx); err != nil {
			return err
		}
		if s.timeUp() {
			return jobs.Yield(ctx)
		}
	}
	for s.row.State != Done {
		if err := s.confirm(ctx); err != nil {
			return err
		}
		if s.timeUp() && s.row.State != Done {
			return jobs.Yield(ctx)
		}
	}
	return nil
}

// begin prepares the findings' table, unless an interrupted slice already did and recorded the
// first of them.
func (s *slice) begin(ctx context.Context) error {
	_, err := s.findings.Open(ctx, mirror.Choice{Type: record.User})
	if errors.Is(err, mirror.ErrFindingsGone) {
		return s.findings.Begin(ctx)
	}
	return err
}

// maxRestarts limits how often a walk restarts because its findings are gone.
const maxRestarts = 5

// restart restarts the walk after its findings are gone. The cursor is reset before new findings
// are accepted, so that these are never taken for complete.
func (s *slice) restart(ctx context.Context) error {
	next := s.next()
	drift := next.drift()
	drift.Restarts++
	drift.Compared, drift.Tolerated, drift.Records = 0, nil, nil // the mirror is compared again
	if drift.Restarts > maxRestarts {
		return s.fail(ctx, mirror.ErrFindingsGone.Error()+", again and again", mirror.ErrFindingsGone)
	}
	next.Phase, next.Cursor, next.Drift = Walk, "", &drift
	next.Read, next.Applied, next.Unchanged, next.Failed, next.Report.Bad, next.Report.Records = 0, 0, 0, 0, nil, nil
	next.Report.note("the project's database has crashed meanwhile, so that the walk began anew; what was repaired before counts as equal")
	if err := s.commit(ctx, next); err != nil {
		return err
	}
	if err := s.findings.Begin(ctx); err != nil {
		return err
	}
	return jobs.Yield(ctx)
}

// drift returns a copy of the run's drift, to be modified.
func (b *row) drift() Drift {
	if b.Drift == nil {
		return Drift{}
	}
	return b.Drift.clone()
}

// compare compares a page of users with the mirror and applies what it can decide.
func (s *slice) compare(ctx context.Context, page *userapi.Page, next *row) error {
	return s.compareEvents(ctx, record.User, s.decode(page, next), !page.Partial, next)
}

// compareEvents compares records of one type with the mirror and applies those that it can decide
// about. whole reports that their objects are complete.
func (s *slice) compareEvents(ctx context.Context, t record.Type, p pageOfEvents, whole bool, next *row) error {
	p, err := s.withoutErased(ctx, p, next)
	if err != nil {
		return err
	}
	for first := 0; first < len(p.events); first += maxChunk {
		last := min(first+maxChunk, len(p.events))
		if err := s.compareChunk(ctx, t, pageOfEvents{p.events[first:last], p.places[first:last]}, whole, next); err != nil {
			return err
		}
	}
	return nil
}

// withoutErased leaves out records that were erased: the provider still has them, and a finding would keep their ids.
func (s *slice) withoutErased(ctx context.Context, p pageOfEvents, next *row) (pageOfEvents, error) {
	records := make([]mirror.Owned, len(p.events))
	for i := range p.events {
		records[i] = mirror.Owned{Ref: p.events[i].Record(), UserID: p.events[i].UserID}
	}
	erased, err := s.config.Mirrors.Erased(ctx, s.row.ProjectID, records)
	if err != nil || len(erased) == 0 {
		return p, err
	}
	var kept pageOfEvents
	for i := range p.events {
		if !slices.Contains(erased, i) {
			kept.events, kept.places = append(kept.events, p.events[i]), append(kept.places, p.places[i])
		}
	}
	next.Unchanged += int64(len(erased))
	return kept, nil
}

func (s *slice) compareChunk(ctx context.Context, t record.Type, p pageOfEvents, whole bool, next *row) error {
	events, places := p.events, p.places
	equal := int64(len(events))
	found, err := s.findings.Page(ctx, t, events, s.account.Importer.Comparison(t).Excluding(s.account.Options), whole)
	if err != nil {
		return err
	}
	var repair []mirror.Event
	var of []string
	drift := next.drift()
	for _, f := range found {
		drift.of(t).tolerate(f.Tolerated)
		switch {
		case f.Finding == mirror.Equal:
		case f.IsOpen:
			equal--
		default:
			equal--
			repair = append(repair, events[f.Ordinal])
			of = append(of, places[f.Ordinal])
		}
	}
	next.Unchanged += equal
	next.Drift = &drift
	if s.row.Options.DryRun || len(repair) == 0 {
		return nil
	}
	results, err := s.config.Mirrors.Apply(ctx, s.row.ProjectID, repair)
	if err == nil {
		err = mirror.Deferred(results)
	}
	if err != nil {
		return err
	}
	settled := make([]mirror.Settled, 0, len(repair))
	for i, r := range results {
		next.count(of[i], r)
		settled = append(settled, mirror.Settled{RecordID: repair[i].Record().ID, State: stateOf(r)})
	}
	return s.findings.Settle(ctx, t, settled)
}

func stateOf(r mirror.Result) string {
	if r.Err != nil {
		return mirror.StateFailed
	}
	return mirror.StateRepaired
}

// lookAt is the number of the mirror's records examined per call.
const lookAt = 20_000

// findOrphaned examines more records of the mirror, type by type. At the end of each it decides
// whether the orphaned ones may be deleted. The cursor is the type and the last id.
func (s *slice) findOrphaned(ctx context.Context) error {
	next := s.next()
	drift := next.drift()
	next.Drift = &drift
	name, after, _ := strings.Cut(s.row.Cursor, " ")
	t := cmp.Or(record.Type(name), record.User)
	if drift.isListed(t) {
		last, compared, err := s.findings.Orphaned(ctx, mirror.Search{
			Type: t, Begun: s.begunFor(t), Placeholders: s.account.Alone, After: after, Limit: lookAt,
		})
		if err != nil {
			return err
		}
		drift.of(t).Compared += compared
		if last != "" {
			next.Cursor = string(t) + " " + last
			return s.commit(ctx, next)
		}
	}
	if err := s.judge(ctx, t, &drift); err != nil {
		return err
	}
	types := drift.types()
	if i := slices.Index(types, t) + 1; i < len(types) {
		next.Cursor = string(types[i]) + " "
	} else {
		next.Phase, next.Cursor = Confirm, ""
	}
	return s.commit(ctx, next)
}

// begunFor is the time before which the mirror must have heard of a record to miss it in the list.
func (s *slice) begunFor(t record.Type) time.Time {
	return s.row.StartedAt.Add(-userapi.LagOf(s.account.Source, t))
}

// judge counts the findings about a type and decides whether its orphaned records may be deleted.
func (s *slice) judge(ctx context.Context, t record.Type, drift *Drift) error {
	totals, err := s.findings.Totals(ctx, t, maxDrifted)
	if err != nil {
		return err
	}
	drift.add(t, totals)
	g := guard{
		of: t, met: totals.Met, isKnown: drift.Orphaned < drift.Compared, order: s.row.Options, options: s.account.Options.Reconcile,
	}
	if t == record.User {
		if g.said, err = s.said(ctx); err != nil {
			return err
		}
	}
	drift.of(t).DeletionsBlockedReason = drift.of(t).blockDeletions(g)
	return nil
}

// said returns the provider's count of its users: the smaller of those before and after the walk,
// because users come and go. It is nil if the provider gives none.
func (s *slice) said(ctx context.Context) (*int64, error) {
	total, ok, err := s.account.Source.Count(ctx)
	if err != nil {
		return nil, err
	}
	said := s.row.Total
	if ok && (said == nil || total < *said) {
		said = &total
	}
	return said, nil
}

// finish ends the run with its findings and results.
func (s *slice) finish(ctx context.Context) error {
	next := s.next()
	drift := next.drift()
	for _, t := range drift.types() {
		totals, err := s.findings.Totals(ctx, t, maxDrifted)
		if err != nil {
			return err
		}
		drift.add(t, totals)
		if recent := drift.of(t).Recent; recent > 0 {
			next.Report.note(recentNote(recent, t, provider.Title(s.row.Provider), userapi.LagOf(s.account.Source, t)))
		}
	}
	next.Drift, next.State = &drift, Done
	findings := s.findings
	if err := s.commit(ctx, next); err != nil {
		return err
	}
	// What remains is deleted when the next run begins.
	if err := findings.End(ctx); err != nil {
		s.config.Log.WarnContext(ctx, "findings_not_forgotten", slog.Any("error", err))
	}
	return nil
}
