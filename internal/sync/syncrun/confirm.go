package syncrun

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/refresh"
)

// askAbout is the number of records asked about between two commits.
const askAbout = 32

// confirm asks the provider about some open records and acts on the answers. If there are none it
// ends the run.
func (s *slice) confirm(ctx context.Context) error {
	for _, t := range s.row.Drift.types() {
		open, err := s.findings.Open(ctx, mirror.Choice{
			Type: t, Found: !s.row.Options.DryRun, Orphaned: s.row.Drift.of(t).DeletionsBlockedReason == nil, Limit: askAbout,
		})
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return s.askAbout(ctx, t, open)
		}
	}
	return s.finish(ctx)
}

// askAbout asks the provider about records of a type and acts on the answers.
func (s *slice) askAbout(ctx context.Context, t record.Type, open []mirror.Open) error {
	ids := make([]string, len(open))
	for i, o := range open {
		ids[i] = o.RecordID
	}
	reader := refresh.Reader{
		Type: t, Account: s.account, Mirror: s.config.Mirrors, ProjectID: s.row.ProjectID, Provider: s.row.Provider,
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

// leaveListed skips records that were in the list and are gone now: only those missing from the list
// are deleted, within the limits of blockDeletions. A webhook or the next reconcile handles the
// others.
func leaveListed(answers []refresh.Answer, open []mirror.Open) []refresh.Answer {
	listed := make(map[string]bool, len(open))
	for _, o := range open {
		listed[o.RecordID] = o.Finding != mirror.Orphaned && o.Finding != mirror.Placeholder
	}
	for i := range answers {
		if a := &answers[i]; a.Gone && listed[a.ID] {
			a.Finding = mirror.Equal
		}
	}
	return answers
}

// settle records the answers, repairs, and records the results.
func (s *slice) settle(ctx context.Context, reader *refresh.Reader, answers []refresh.Answer, next *row) error {
	t := reader.Type
	if err := refused(answers); err != nil && t == record.User { // of others, calls that only look-ups need may be what is refused
		return err
	}
	found := make([]mirror.Settled, 0, len(answers))
	for i := range answers {
		a := &answers[i]
		if a.Finding == mirror.Placeholder && !s.account.Alone {
			a.Finding = mirror.Equal // a provider added in the meantime may know the record
		}
		u := mirror.Settled{RecordID: a.ID, State: mirror.StateFound, Finding: a.Finding, Columns: a.Columns}
		switch {
		case a.Err != nil:
			u = mirror.Settled{RecordID: a.ID, State: mirror.StateFailed}
			next.Failed++
			next.Report.add(string(t)+" "+a.ID, a.Err.Error())
		case a.IsRecent:
			u = mirror.Settled{RecordID: a.ID, State: mirror.StateRecent}
		case a.Finding == mirror.Equal:
			u.State = mirror.StateNone
		}
		found = append(found, u)
	}
	if err := s.findings.Settle(ctx, t, found); err != nil || s.row.Options.DryRun {
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
			next.count(string(t)+" "+answers[i].ID, results[i])
			repaired = append(repaired, mirror.Settled{RecordID: answers[i].ID, State: stateOf(results[i])})
		}
	}
	return s.findings.Settle(ctx, t, repaired)
}

// refused returns the error of the answers if all failed: it is then not about single ones.
func refused(answers []refresh.Answer) error {
	understood := slices.ContainsFunc(answers, func(a refresh.Answer) bool { return a.Err == nil })
	if understood || len(answers) < askAbout/2 {
		return nil
	}
	return fault.Newf(fault.ProviderError, "none of %d users could be read: %v", len(answers), answers[0].Err)
}

// recentNote says that records were left to the next run.
func recentNote(n int64, t record.Type, provider string, lag time.Duration) string {
	what, were := string(t), "it was"
	if n != 1 {
		what, were = what+"s", "they were"
	}
	return fmt.Sprintf("%d %s may differ only because the answers of %s lag behind its events by up to %s: "+
		"the mirror heard of a change less than that before it asked, so %s left to the next run", n, what, provider, lag, were)
}
