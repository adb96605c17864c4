package syncrun

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// afterWalk sets what follows the walk over the users: the provider's other records, if the
// integration mirrors them and they can be read.
func (s *slice) afterWalk(next *row) {
	_, mirrored := s.account.Options.Mirrors(record.Organization)
	_, can := s.account.Source.(userapi.RecordSource)
	if !mirrored || !can {
		next.afterRecords()
		return
	}
	next.Phase = Records
	if next.Kind == provider.KindReconcile {
		drift := next.drift()
		drift.Records = make(map[record.Type]*RecordDrift)
		for _, d := range record.Listed() {
			drift.Records[d.Type] = &RecordDrift{}
		}
		next.Drift = &drift
	}
}

// unlist notes that the list of a type was not read to its end.
func (b *row) unlist(t record.Type, reason string) {
	if b.Drift == nil { // a backfill compares nothing
		return
	}
	drift := b.drift()
	drift.unlist(t, reason)
	b.Drift = &drift
}

// unlistAll notes that the lists end here for a reason.
func (b *row) unlistAll(reason string) {
	for _, d := range record.Listed() {
		b.unlist(d.Type, reason)
	}
}

// afterRecords sets what follows the records: the end of a backfill, the next phase of a reconcile.
func (b *row) afterRecords() {
	b.Cursor = ""
	if b.Kind == provider.KindBackfill {
		b.State = Done
	} else {
		b.Phase = Orphaned
	}
}

// records reads the records that are not users. A backfill applies them, and leaves what the provider
// no longer lists as it is; a reconcile compares them. A list that cannot be read to its end is a
// failed entry: what was read stays, the run goes on, and no record of its type is deleted. Refused
// credentials end the run, as they would while users are read.
func (s *slice) records(ctx context.Context) error {
	for {
		if err := s.recordPage(ctx); err != nil || s.row.Phase != Records || s.row.State == Done {
			return err
		}
		if s.timeUp() {
			return jobs.Yield(ctx)
		}
	}
}

func (s *slice) recordPage(ctx context.Context) error {
	ctx, slot := s.responses.With(ctx)
	defer slot.Release()
	next := s.next()
	source, can := s.account.Source.(userapi.RecordSource)
	if _, mirrored := s.account.Options.Mirrors(record.Organization); !mirrored || !can { // that has changed meanwhile
		next.unlistAll("organizations are no longer mirrored")
		next.afterRecords()
		return s.commit(ctx, next)
	}
	page, err := source.Records(ctx, s.row.Cursor)
	if err == nil && page.Next != "" && page.Next == s.row.Cursor {
		read := s.row.Read - s.row.Report.Records[record.User]
		err = userapi.NoProgressOf("organizations, memberships and invitations", provider.Title(s.row.Provider), "the walk stands still", read, 0)
	}
	if fault.Is(err, fault.ProviderError) {
		next.Failed++
		next.Report.add("organizations, memberships and invitations", err.Error())
		next.unlistAll(err.Error())
		next.afterRecords()
		return s.commit(ctx, next)
	}
	if err != nil {
		return err
	}
	if err := s.recordsOf(ctx, &page, &next); err != nil {
		return err
	}
	if next.Cursor = page.Next; page.Next == "" {
		next.afterRecords()
	}
	return s.commit(ctx, next)
}

// recordsOf applies a page to the mirror, or compares it, and counts the results.
func (s *slice) recordsOf(ctx context.Context, page *userapi.RecordPage, next *row) error {
	for _, note := range page.Notes {
		next.Report.note(note)
	}
	for _, bad := range page.Bad {
		next.Failed++
		next.Report.add(bad.Place, bad.Reason)
	}
	for _, of := range page.Unlisted {
		next.unlist(of.Type, of.Reason)
	}
	var all pageOfEvents
	byType := make(map[record.Type]pageOfEvents)
	for _, r := range page.Records {
		next.Read++
		place := fmt.Sprintf("%s %d of the walk", r.Type, next.Report.read(r.Type, 1))
		e := s.account.Importer.DecodeRecord(r.Type, r.Object, provider.Import{
			RunID: s.row.ID.String(), Kind: s.row.Kind, FetchedAt: r.FetchedAt, Whole: true,
		}, s.account.Options)
		if e.Verdict != provider.Apply {
			next.Failed++
			next.Report.add(place, e.Reason)
			continue
		}
		event := mirror.Event{Event: e, Provider: s.row.Provider, ReceivedAt: r.FetchedAt, NoLedger: true}
		all.add(event, place)
		of := byType[r.Type]
		of.add(event, place)
		byType[r.Type] = of
	}
	if next.Kind == provider.KindBackfill {
		return s.applyEvents(ctx, all, next)
	}
	for _, d := range record.Listed() {
		if err := s.compareEvents(ctx, d.Type, byType[d.Type], true, next); err != nil {
			return err
		}
	}
	return nil
}

// add adds an event and its position in the walk.
func (p *pageOfEvents) add(e mirror.Event, place string) {
	p.events = append(p.events, e)
	p.places = append(p.places, place+", id "+e.Record().ID)
}

// applyEvents applies events to the mirror and counts the results.
func (s *slice) applyEvents(ctx context.Context, p pageOfEvents, next *row) error {
	events, places := p.events, p.places
	for first := 0; first < len(events); first += maxChunk {
		last := min(first+maxChunk, len(events))
		results, err := s.config.Mirrors.Apply(ctx, s.row.ProjectID, events[first:last])
		if err == nil {
			err = mirror.Deferred(results) // the page is applied again, which leaves what is already current unchanged
		}
		if err != nil {
			return err
		}
		for i, r := range results {
			next.count(places[first+i], r)
		}
	}
	return nil
}
