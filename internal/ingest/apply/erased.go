package apply

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
)

// dropErased takes events about erased users out of a batch: nothing of them is applied, read from the provider or recorded. The
// mirror would refuse them, too, but knows nothing of those that do not reach it.
func (c *Config) dropErased(ctx context.Context, projectID uuid.UUID, b *batch) error {
	if c.Erased == nil {
		return nil
	}
	var records []mirror.Owned
	var places []int
	for i, o := range b.outcomes {
		ref := record.Ref{Type: record.User, ID: o.UserID}
		if o.RecordType != "" {
			ref = record.Ref{Type: record.Type(o.RecordType), ID: o.RecordID}
		}
		if ref.ID != "" || o.UserID != "" {
			records, places = append(records, mirror.Owned{Ref: ref, UserID: o.UserID}), append(places, i)
		}
	}
	erased, err := c.Erased(ctx, projectID, records)
	if err != nil || len(erased) == 0 {
		return err
	}
	gone := make(map[int]bool, len(erased))
	for _, i := range erased {
		place := places[i]
		gone[place] = true
		b.outcomes[place].Erase()
	}
	var kept batch
	for i, place := range b.places {
		if !gone[place] {
			kept.toApply, kept.places = append(kept.toApply, b.toApply[i]), append(kept.places, place)
		}
	}
	b.toApply, b.places = kept.toApply, kept.places
	b.toRead = slices.DeleteFunc(b.toRead, func(w wanted) bool { return gone[w.place] })
	return nil
}

// eraseMessages takes what erased users are said to be out of the batch's messages, in the transaction that records the outcomes.
func eraseMessages(ctx context.Context, tx pgx.Tx, b *batch) error {
	type erased struct {
		ordinals []int
		persons  []inbox.Person
	}
	messages := make(map[inbox.MessageRef]*erased)
	var inOrder []inbox.MessageRef
	for i := range b.outcomes {
		o := &b.outcomes[i]
		if !o.IsErased {
			continue
		}
		m := inbox.MessageRef{ProjectID: o.ProjectID, InboxID: o.InboxID, ReceivedAt: o.ReceivedAt}
		if messages[m] == nil {
			messages[m], inOrder = &erased{}, append(inOrder, m)
		}
		messages[m].ordinals = append(messages[m].ordinals, o.Ordinal)
		p := inbox.Person{UserID: o.ErasedUser, IsLong: mirror.IsLongID(o.ErasedUser)}
		if p.IsLong && !slices.ContainsFunc(messages[m].persons, func(known inbox.Person) bool { return known.UserID == p.UserID }) {
			messages[m].persons = append(messages[m].persons, p)
		}
	}
	for _, m := range inOrder {
		if _, err := inbox.EraseEvents(ctx, tx, m, messages[m].ordinals, messages[m].persons...); err != nil {
			return err
		}
	}
	return nil
}
