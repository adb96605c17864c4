package syncrun

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/refresh"
)

// A reconcile has four phases. Each finding is recorded in the project's database before anything
// is repaired, so that an interruption neither loses nor repeats one.
//
//	walk      compare each page with the mirror in SQL; apply users that are missing
//	          or differ, as the page has them. If the mirror has a newer event, or the
//	          page is incomplete, the user stays open.
//	records   apply organizations, memberships and invitations as the provider lists
//	          them; see records.go. They are not compared: what the provider no longer
//	          lists is left as it is. A dry run skips them.
//	orphaned  find users of the mirror that the walk did not see; they are open, too,
//	          and so are placeholders.
//	confirm   ask the provider about every open user, one by one, and repair or
//	          delete accordingly. This answer is final.
//
// If there are too many orphaned users and placeholders, they are neither asked about nor deleted:
// see Drift.blockDeletions.
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
	_, err := s.findings.Open(ctx, false, false, 0)
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
	drift.Compared, drift.Tolerated = 0, nil // the mirror is compared again
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
	drift := *b.Drift
	drift.Tolerated = maps.Clone(drift.Tolerated)
	return drift
}

// compare compares a page with the mirror and applies what it can decide.
func (s *slice) compare(ctx context.Context, page *userapi.Page, next *row) error {
	p := s.decode(page, next)
	for first := 0; first < len(p.events); first += maxChunk {
		last := min(first+maxChunk, len(p.events))
		if err := s.compareChunk(ctx, p.events[first:last], p.places[first:last], !page.Partial, next); err != nil {
			return err
		}
	}
	return nil
}

func (s *slice) compareChunk(ctx context.Context, events []mirror.Event, places []string, whole bool, next *row) error {
	equal := int64(len(events))
	found, err := s.findings.Page(ctx, events, s.account.Importer.Comparison(), whole)
	if err != nil {
		return err
	}
	var repair []mirror.Event
	var of []string
	drift := next.drift()
	for _, f := range found {
		drift.tolerate(f.Tolerated)
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
		settled = append(settled, mirror.Settled{UserID: repair[i].UserID, State: stateOf(r)})
	}
	return s.findings.Settle(ctx, settled)
}

func stateOf(r mirror.Result) string {
	if r.Err != nil {
		return mirror.StateFailed
	}
	return mirror.StateRepaired
}

// lookAt is the number of the mirror's users examined per call.
const lookAt = 20_000

// findOrphaned examines more users of the mirror. At the end it decides whether orphaned users may
// be deleted.
func (s *slice) findOrphaned(ctx context.Context) error {
	last, users, err := s.findings.Orphaned(ctx, s.row.StartedAt, s.account.Alone, s.row.Cursor, lookAt)
	if err != nil {
		return err
	}
	next := s.next()
	drift := next.drift()
	drift.Compared += users
	next.Cursor, next.Drift = last, &drift
	if last != "" {
		return s.commit(ctx, next)
	}
	totals, err := s.findings.Totals(ctx, maxDrifted)
	if err != nil {
		return err
	}
	drift.add(totals)
	said, err := s.said(ctx)
	if err != nil {
		return err
	}
	drift.DeletionsBlockedReason = drift.blockDeletions(totals.Met, said, s.row.Options, s.account.Options.Reconcile)
	next.Phase = Confirm
	return s.commit(ctx, next)
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

// askAbout is the number of users asked about between two commits.
const askAbout = 32

// confirm asks the provider about some open users and acts on the answers. If there are none it
// ends the run.
func (s *slice) confirm(ctx context.Context) error {
	o := s.row.Options
	open, err := s.findings.Open(ctx, !o.DryRun, s.row.Drift.DeletionsBlockedReason == nil, askAbout)
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return s.finish(ctx)
	}
	ids := make([]string, len(open))
	for i, u := range open {
		ids[i] = u.UserID
	}
	reader := refresh.Reader{
		Account: s.account, Mirror: s.config.Mirrors, ProjectID: s.row.ProjectID, Provider: s.row.Provider,
		Kind: s.row.Kind, RunID: s.row.ID.String(), GoneSince: s.row.StartedAt,
	}
	answers, failed := reader.Read(ctx, ids)
	next := s.next()
	if err := s.settle(ctx, &reader, leaveListed(answers, open), &next); err != nil {
		return err
	}
	if len(answers) > 0 {
		if err := s.commit(ctx, next); err != nil {
			return err
		}
	}
	return failed
}

// leaveListed skips users that were in the list and are gone now: only users missing from the list
// are deleted, within the limits of blockDeletions. A webhook or the next reconcile handles the
// others.
func leaveListed(answers []refresh.Answer, open []mirror.Open) []refresh.Answer {
	listed := make(map[string]bool, len(open))
	for _, u := range open {
		listed[u.UserID] = u.Finding != mirror.Orphaned && u.Finding != mirror.Placeholder
	}
	for i := range answers {
		if a := &answers[i]; a.Gone && listed[a.UserID] {
			a.Finding = mirror.Equal
		}
	}
	return answers
}

// settle records the answers, repairs, and records the results.
func (s *slice) settle(ctx context.Context, reader *refresh.Reader, answers []refresh.Answer, next *row) error {
	if err := refused(answers); err != nil {
		return err
	}
	found := make([]mirror.Settled, 0, len(answers))
	for i := range answers {
		a := &answers[i]
		if a.Finding == mirror.Placeholder && !s.account.Alone {
			a.Finding = mirror.Equal // a provider added in the meantime may know the user
		}
		u := mirror.Settled{UserID: a.UserID, State: mirror.StateFound, Finding: a.Finding, Columns: a.Columns}
		switch {
		case a.Err != nil:
			u = mirror.Settled{UserID: a.UserID, State: mirror.StateFailed}
			next.Failed++
			next.Report.add("user "+a.UserID, a.Err.Error())
		case a.Finding == mirror.Equal:
			u.State = mirror.StateNone
		}
		found = append(found, u)
	}
	if err := s.findings.Settle(ctx, found); err != nil || s.row.Options.DryRun {
		return err
	}
	results, err := reader.Apply(ctx, answers)
	if err == nil {
		err = mirror.Deferred(results)
	}
	if err != nil {
		return err
	}
	var repaired []mirror.Settled
	for i := range answers {
		if answers[i].NeedsRepair() {
			next.count("user "+answers[i].UserID, results[i])
			repaired = append(repaired, mirror.Settled{UserID: answers[i].UserID, State: stateOf(results[i])})
		}
	}
	return s.findings.Settle(ctx, repaired)
}

// refused returns the error of the answers if all failed: it is then not about single users.
func refused(answers []refresh.Answer) error {
	understood := slices.ContainsFunc(answers, func(a refresh.Answer) bool { return a.Err == nil })
	if understood || len(answers) < askAbout/2 {
		return nil
	}
	return fault.Newf(fault.ProviderError, "none of %d users could be read: %v", len(answers), answers[0].Err)
}

// finish ends the run with its findings and results.
func (s *slice) finish(ctx context.Context) error {
	totals, err := s.findings.Totals(ctx, maxDrifted)
	if err != nil {
		return err
	}
	next := s.next()
	drift := next.drift()
	drift.add(totals)
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
