package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/account"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/fetch"
)

// maxChunk is how many users go to the mirror by one call: live events get
// their turn between two calls.
const maxChunk = 200

// maxNotes bounds the notes of a report.
const maxNotes = 20

// slice is one job's work on a run.
type slice struct {
	*worker

	job     *river.Job[Args]
	row     row
	account account.Account
	begun   time.Time
	marked  time.Time // up to here the time worked has been noted
}

// work reads and applies pages until the time is up. It returns nil when the
// run has ended, else an error that says what comes next.
func (s *slice) work(ctx context.Context) error {
	fresh, err := s.config.Accounts.Open(ctx, s.row.ProjectID, s.row.Provider)
	if pgdb.Unavailable(err) {
		return errors.Join(errControl, err)
	}
	if err != nil {
		return err
	}
	s.account = s.held.take(s.row.ID, fresh)
	if s.row.Total == nil && s.row.Pages == 0 {
		if err := s.count(ctx); err != nil {
			return err
		}
	}
	// The next page is read while this one is applied.
	ctx, cancel := context.WithCancel(ctx)
	pages := s.read(ctx, s.row.Cursor)
	defer func() {
		cancel()
		if pages != nil {
			<-pages // nobody uses the Source once the slice is over
		}
	}()
	for {
		f := <-pages
		pages = nil
		if f.err != nil {
			return f.err
		}
		timeUp := time.Since(s.begun) >= s.config.Slice
		if f.page.Next != "" && f.page.Wait == 0 && !timeUp {
			pages = s.read(ctx, f.page.Next)
		}
		done, err := s.page(ctx, f.page)
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case f.page.Wait > 0:
			return river.JobSnooze(s.config.Retry(f.page.Wait))
		case timeUp:
			return river.JobSnooze(0)
		}
	}
}

type fetched struct {
	page fetch.Page
	err  error
}

// read reads a page in the background; exactly one value comes.
func (s *slice) read(ctx context.Context, cursor string) <-chan fetched {
	pages := make(chan fetched, 1)
	go func() {
		page, err := s.account.Source.Page(ctx, cursor)
		pages <- fetched{page, err}
	}()
	return pages
}

const setTotal = `UPDATE authsync.backfills SET total = $2, updated_at = now() WHERE id = $1`

// count asks how many users there are, for the progress.
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

// page applies a page and then commits that it is applied. done: the run has ended.
func (s *slice) page(ctx context.Context, page fetch.Page) (done bool, err error) {
	next := s.row // with what this page adds
	next.Report.Bad = slices.Clip(next.Report.Bad)
	for _, bad := range page.Bad {
		next.Failed++
		next.Report.add(bad.Place, bad.Reason)
	}
	if err := s.apply(ctx, page.Users, &next); err != nil {
		return false, err
	}
	next.Read += int64(len(page.Users))
	next.Cursor, next.Pages = page.Next, next.Pages+1
	if page.Total > 0 {
		next.Total = &page.Total
	}
	if page.Note != "" && !slices.Contains(next.Report.Notes, page.Note) && len(next.Report.Notes) < maxNotes {
		next.Report.Notes = append(slices.Clip(next.Report.Notes), page.Note)
	}
	if page.Restarted { // all users come again
		next.Read, next.Applied, next.Unchanged, next.Failed, next.Report.Bad = 0, 0, 0, 0, nil
	}
	switch next.State, next.WaitsBecause = Running, nil; {
	case page.Next == "":
		next.State = Done
	case page.Wait > 0:
		next.State = Waiting
		if page.Note != "" {
			next.WaitsBecause = &page.Note
		}
	}
	return s.commit(ctx, next)
}

// apply brings users into the mirror and counts what became of them.
func (s *slice) apply(ctx context.Context, users []fetch.User, next *row) error {
	events := make([]mirror.Event, 0, len(users))
	places := make([]string, 0, len(users))
	for i, u := range users {
		place := fmt.Sprintf("user %d of the walk", s.row.Read+int64(i)+1)
		e := s.account.Importer.DecodeUser(u.Object, provider.Import{
			RunID: s.row.ID.String(), Kind: s.row.Kind, FetchedAt: u.FetchedAt, Whole: true, LastSignInAt: u.LastSignInAt,
		}, s.account.Options)
		if e.Verdict != provider.Apply {
			next.Failed++
			next.Report.add(place, e.Reason)
			continue
		}
		events = append(events, mirror.Event{Event: e, Provider: s.row.Provider, ReceivedAt: u.FetchedAt, NoLedger: true})
		places = append(places, place+", id "+e.UserID)
	}
	for first := 0; first < len(events); first += maxChunk {
		last := min(first+maxChunk, len(events))
		results, err := s.config.Mirrors.Apply(ctx, s.row.ProjectID, events[first:last])
		if err != nil {
			return err
		}
		for i, r := range results {
			switch {
			case r.Err != nil:
				next.Failed++
				next.Report.add(places[first+i], mirror.Words(r.Err))
			case r.Outcome == mirror.Applied:
				next.Applied++
			default:
				next.Unchanged++
			}
		}
	}
	return nil
}

// commitPage moves a run on, unless it has been cancelled or another worker, which
// took this one for dead, was faster.
const commitPage = `
	UPDATE authsync.backfills SET
		state = $3, cursor = $4, total = $5, pages = $6, read = $7, applied = $8, unchanged = $9, failed = $10,
		worked = worked + make_interval(secs => $11), troubles = 0, waits_because = $12, report = $13,
		updated_at = now(), finished_at = CASE WHEN $3 = 'done' THEN now() END
	WHERE id = $1 AND pages = $2 AND state IN ('running', 'waiting')`

func (s *slice) commit(ctx context.Context, next row) (done bool, err error) {
	now := time.Now()
	moved := false
	err = pgdb.InTx(ctx, s.config.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, commitPage, next.ID, s.row.Pages, next.State, next.Cursor, next.Total, next.Pages,
			next.Read, next.Applied, next.Unchanged, next.Failed, now.Sub(s.marked).Seconds(), next.WaitsBecause, next.Report)
		if err != nil {
			return err
		}
		if moved = tag.RowsAffected() == 1; !moved || next.State != Done {
			return nil
		}
		_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, s.job)
		return err
	})
	if err != nil {
		return false, errors.Join(errControl, err)
	}
	if !moved {
		// The next slice, if there is one, finds out what happened.
		return false, river.JobSnooze(0)
	}
	next.Troubles = 0
	s.row, s.marked = next, now
	if next.State != Done {
		return false, nil
	}
	s.held.release(next.ID)
	s.config.Log.LogAttrs(ctx, slog.LevelInfo, "backfill_done", s.attrs(
		slog.Int64("applied", next.Applied), slog.Int64("unchanged", next.Unchanged), slog.Int64("failed", next.Failed))...)
	return true, nil
}
