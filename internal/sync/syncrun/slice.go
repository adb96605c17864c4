package syncrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
)

// maxChunk is the number of records per call of the mirror: live events get their turn between two
// calls.
const maxChunk = 500

// slice is one turn of a job's work on a run.
type slice struct {
	*worker

	job      *river.Job[Args]
	row      row
	account  source.Account
	findings *mirror.Reconcile // of a reconcile
	begun    time.Time
	marked   time.Time // the time worked is recorded up to here
	idle     int       // consecutive empty pages
}

// work reads and applies pages until its time is up. It returns nil when the run has ended,
// otherwise an error that says what comes next.
func (s *slice) work(ctx context.Context) error {
	fresh, err := s.config.Accounts.Open(ctx, s.row.ProjectID, s.row.Provider)
	if pgdb.Unavailable(err) {
		return errors.Join(errControl, err)
	}
	if err != nil {
		return err
	}
	s.account = s.sources.take(s.row.ID, fresh)
	if err := s.account.Verify(ctx); err != nil {
		return err
	}
	if s.row.Total == nil && s.row.Pages == 0 {
		if err := s.count(ctx); err != nil {
			return err
		}
	}
	if s.row.Kind == provider.KindReconcile {
		return s.reconcile(ctx)
	}
	if s.row.Phase == Walk {
		if err := s.walk(ctx, s.apply); err != nil || s.row.Phase != Records {
			return err
		}
	}
	return s.records(ctx)
}

// walk reads pages from the run's cursor on and passes them to apply. It returns nil at the end of
// the walk.
func (s *slice) walk(ctx context.Context, apply applyFunc) error {
	// The next page is read while this one is applied.
	ctx, cancel := context.WithCancel(ctx)
	pages := s.read(ctx, s.row.Cursor)
	defer func() {
		cancel()
		if pages != nil {
			f := <-pages // nothing may use the Source after the slice
			f.slot.Release()
		}
	}()
	for {
		f := <-pages
		pages = nil
		if f.err != nil {
			f.slot.Release()
			return f.err
		}
		timeUp := s.timeUp()
		if f.page.Next != "" && f.page.Wait == 0 && !timeUp {
			pages = s.read(ctx, f.page.Next)
		}
		cursor := s.row.Cursor
		err := s.page(ctx, f.page, apply)
		f.slot.Release()
		if err == nil && f.page.Next != "" {
			err = s.progress(ctx, cursor, &f.page)
		}
		switch {
		case err != nil:
			return err
		case f.page.Next == "":
			return nil
		case f.page.Wait > 0:
			return jobs.Wait(ctx, s.job.JobRow, cmp.Or(f.page.Note, "the provider asks to wait"), &jobs.WaitError{After: s.config.Retry(f.page.Wait)})
		case timeUp:
			return jobs.Yield(ctx)
		}
	}
}

// timeUp reports whether the job should yield: after its slice of time, or after each page if all
// workers are busy. River gives workers to the jobs that have waited longest, so they take turns.
func (s *slice) timeUp() bool {
	return time.Since(s.begun) >= s.config.Slice || s.busy.Load() >= int64(s.config.Workers)
}

type fetched struct {
	page userapi.Page
	slot *userapi.ResponseSlot
	err  error
}

// read reads a page in the background; it sends exactly one value.
func (s *slice) read(ctx context.Context, cursor string) <-chan fetched {
	pages := make(chan fetched, 1)
	ctx, slot := s.responses.With(ctx)
	go func() {
		page, err := s.account.Source.Page(ctx, cursor)
		pages <- fetched{page, slot, err}
	}()
	return pages
}

const setTotal = `UPDATE authsync.sync_runs SET total = $2, updated_at = now() WHERE id = $1`

// count asks for the number of users, for the progress.
func (s *slice) count(ctx context.Context) error {
	total, ok, err := s.account.Source.Count(ctx)
	if err != nil || !ok {
		return err
	}
	if _, err := s.config.Pool.Exec(ctx, setTotal, s.row.ID, total); err != nil {
		return errors.Join(errControl, err)
	}
	s.row.Total = &total
	return nil
}

// applyFunc applies a page to the mirror and counts the results.
type applyFunc func(ctx context.Context, page *userapi.Page, next *row) error

// page applies a page and then commits the progress.
func (s *slice) page(ctx context.Context, page userapi.Page, apply applyFunc) error {
	next := s.next() // including this page
	for _, bad := range page.Bad {
		next.Failed++
		next.Report.add(bad.Place, bad.Reason)
	}
	if err := apply(ctx, &page, &next); err != nil {
		return err
	}
	next.Read += int64(len(page.Users))
	next.Report.read(record.User, int64(len(page.Users)))
	next.Cursor = page.Next
	if page.Total > 0 {
		next.Total = &page.Total
	}
	next.Report.note(page.Note)
	if page.Restarted { // all users come again
		next.Read, next.Applied, next.Unchanged, next.Failed, next.Report.Bad, next.Report.Records = 0, 0, 0, 0, nil, nil
	}
	switch {
	case page.Next == "":
		s.afterWalk(&next)
	case page.Wait > 0:
		next.State = Waiting
		if page.Note != "" {
			next.WaitReason = &page.Note
		}
	}
	return s.commit(ctx, next)
}

// next returns the run as it will be after the next commit.
func (s *slice) next() row {
	next := s.row
	next.Pages++
	next.State, next.WaitReason = Running, nil
	next.Report.Bad = slices.Clip(next.Report.Bad)
	next.Report.Notes = slices.Clip(next.Report.Notes)
	next.Report.Records = maps.Clone(next.Report.Records)
	return next
}

// pageOfEvents holds the events of a page and the position of each in the walk.
type pageOfEvents struct {
	events []mirror.Event
	places []string
}

// decode turns the users of a page into events. Those that cannot be decoded are counted and
// reported.
func (s *slice) decode(page *userapi.Page, next *row) pageOfEvents {
	p := pageOfEvents{events: make([]mirror.Event, 0, len(page.Users)), places: make([]string, 0, len(page.Users))}
	for i, u := range page.Users {
		place := fmt.Sprintf("user %d of the walk", s.row.Read+int64(i)+1)
		e := s.account.Importer.DecodeUser(u.Object, provider.Import{
			RunID: s.row.ID.String(), Kind: s.row.Kind, FetchedAt: u.FetchedAt, Whole: true, LastSignInAt: u.LastSignInAt,
		}, s.account.Options)
		if e.Verdict != provider.Apply {
			next.Failed++
			next.Report.add(place, e.Reason)
			continue
		}
		p.events = append(p.events, mirror.Event{Event: e, Provider: s.row.Provider, ReceivedAt: u.FetchedAt, NoLedger: true})
		p.places = append(p.places, place+", id "+e.UserID)
	}
	return p
}

// apply applies the users of a page to the mirror and counts the results.
func (s *slice) apply(ctx context.Context, page *userapi.Page, next *row) error {
	p := s.decode(page, next)
	return s.applyEvents(ctx, p, next)
}

// count counts the result of a record.
func (b *row) count(place string, r mirror.Result) {
	switch {
	case r.Err != nil:
		b.Failed++
		b.Report.add(place, pgdb.Describe(r.Err))
	case r.Outcome == mirror.Applied:
		b.Applied++
	default:
		b.Unchanged++
	}
}

// commitPage advances a run, unless it was cancelled or another worker, which considered this one
// dead, was faster.
const commitPage = `
	UPDATE authsync.sync_runs SET
		state = $3, cursor = $4, total = $5, pages = $6, read = $7, applied = $8, unchanged = $9, failed = $10,
		worked = worked + make_interval(secs => $11), consecutive_failures = 0, wait_reason = $12, report = $13, phase = $14, drift = $15,
		updated_at = coalesce($16::timestamptz, now()), progressed_at = CASE WHEN $17 THEN coalesce($16::timestamptz, now()) ELSE progressed_at END,
		finished_at = CASE WHEN $3 = 'done' THEN now() END
	WHERE id = $1 AND pages = $2 AND state IN ('running', 'waiting')`

// commit makes next the state of the run. Its error says what comes next if the run was cancelled
// or taken over.
func (s *slice) commit(ctx context.Context, next row) error {
	now := time.Now()
	moved := false
	err := pgdb.InTx(ctx, s.config.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, commitPage, next.ID, s.row.Pages, next.State, next.Cursor, next.Total, next.Pages,
			next.Read, next.Applied, next.Unchanged, next.Failed, now.Sub(s.marked).Seconds(), next.WaitReason, next.Report,
			next.Phase, next.Drift, s.config.now(), next.State != Waiting)
		if err != nil {
			return err
		}
		if moved = tag.RowsAffected() == 1; !moved {
			return nil
		}
		if err := delivery.RequestRelay(ctx, tx, next.ProjectID); err != nil || next.State != Done {
			return err
		}
		// If the job cannot be ended here, its next run finds nothing left to do.
		_, err = jobs.Finish(ctx, tx, s.job.JobRow, s.job.Args.subject(), now)
		return err
	})
	if err != nil {
		return errors.Join(errControl, err)
	}
	if !moved {
		// The next slice, if there is one, finds out what happened.
		return jobs.Yield(ctx)
	}
	next.ConsecutiveFailures = 0
	s.row, s.marked = next, now
	if next.State != Done {
		return nil
	}
	s.sources.release(next.ID)
	s.config.Log.LogAttrs(ctx, slog.LevelInfo, "run_done", s.attrs(
		slog.Int64("applied", next.Applied), slog.Int64("unchanged", next.Unchanged), slog.Int64("failed", next.Failed))...)
	return nil
}
