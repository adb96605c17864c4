package userapi

import (
	"cmp"
	"context"
	"fmt"
)

const (
	lookBack     = 250 // entries, at first
	maxLooks     = 30  // requests for one page
	maxRewinds   = 10  // of a walk
	maxEndChecks = 3
	maxBeyond    = 10_000 // entries, beyond twice the count
)

// Positions walks over a list that is addressed by position, which changes when entries are deleted
// or created: each request begins with the last entries read, and counts only if they are where they
// should be.
type Positions struct {
	// Name names the list's owner, and Of what it lists; empty means users.
	Name   string
	Of     string
	Client *Client
	// List requests the list from a position on.
	List func(ctx context.Context, from int64) (List, error)
	// Total returns the number of entries, for a list that does not include it; nil means that it
	// does.
	Total func(ctx context.Context) (n int64, ok bool, err error)
}

// Part is what Next has read.
type Part struct {
	List

	// End reports that nothing follows the mark.
	End bool
	// Restarted reports that the list has changed so much that the walk restarts.
	Restarted bool
}

// Next reads what follows the mark, and moves it. It reports the end only if the list has the last
// entries read and nothing after them, and the count does not exceed the entries read. Otherwise it
// fails with its observations.
func (p *Positions) Next(ctx context.Context, m *Mark) (Part, error) {
	start, overlap, back := m.Offset, int64(len(m.Recent)), int64(lookBack)
	from := max(start-overlap, 0)
	ends, strays := 0, 0
	for range maxLooks {
		l, err := p.List(ctx, from)
		if err != nil {
			return Part{}, err
		}
		first, last, joined := int64(0), int64(-1), true
		if m.Begun() {
			first, last, joined = m.join(&l)
		}
		switch {
		case !joined && from > 0: // earlier users were deleted, so the list has moved up
			from, back = max(from-back, 0), 2*back
			continue
		case !joined:
			return p.rewind(m)
		}
		part := Part{List: l}
		part.behind(from, last, m.Offset)
		if part.Size() > 0 {
			return p.take(ctx, m, part, from+l.Size(), first)
		}
		if first > recents { // the list did not start there: ask again for what follows
			strays++
			if strays <= maxEndChecks {
				from += first
				continue
			}
		} else { // others may have been inserted or deleted before the mark
			m.Offset = from + l.Size()
		}
		total, err := p.total(ctx, &l)
		if err != nil {
			return Part{}, err
		}
		switch {
		case m.Offset == total || m.Offset > total && strays <= maxEndChecks:
			return Part{End: true, List: List{SentAt: l.SentAt, Total: l.Total}}, nil
		case strays > maxEndChecks:
			return Part{}, p.noProgress(fmt.Sprintf("asked for what lies behind position %d, it gives what lies before it", from), m.Offset, total)
		case overlap > minJoined && first <= recents: // the answer may be too short to show more than what was read last
			overlap = max(overlap/2, minJoined)
			from = max(start-overlap, 0)
			continue
		case ends == maxEndChecks:
			return Part{}, p.noProgress(fmt.Sprintf("it ends at position %d", m.Offset), m.Offset, total)
		}
		ends++
		if err := p.Client.BackOff(ctx, ends); err != nil {
			return Part{}, err
		}
	}
	return Part{}, p.noProgress(fmt.Sprintf("behind position %d each answer contradicts the one before", m.Offset), m.Offset, 0)
}

// behind keeps what follows a place. Bad entries count if they lie after the offset: the others
// were reported before.
func (p *Part) behind(from, place, offset int64) {
	l := p.List
	p.Entries, p.Bad, p.BadPlaces = nil, nil, nil
	for _, entry := range l.Entries {
		if entry.Place > place {
			p.Entries = append(p.Entries, entry)
		}
	}
	for i, at := range l.BadPlaces {
		if from+at >= offset {
			p.Bad, p.BadPlaces = append(p.Bad, l.Bad[i]), append(p.BadPlaces, at)
		}
	}
}

// take moves the mark past a part, unless it was read before.
func (p *Positions) take(ctx context.Context, m *Mark, part Part, offset, first int64) (Part, error) {
	ids := part.IDs()
	if len(ids) == 0 || m.Repeats(ids) {
		total, err := p.total(ctx, &part.List)
		switch {
		case err != nil:
			return Part{}, err
		case len(ids) == 0 && offset <= 2*total+maxBeyond: // bad ones have positions, too
			m.Offset = offset
			return part, nil
		case len(ids) == 0:
			return Part{}, p.noProgress("it gives entries without an id", m.Offset, total)
		}
		if first == 0 && ids[0] == m.First && m.Offset == total { // past the end the list starts again
			return Part{End: true, List: List{SentAt: part.SentAt, Total: part.Total}}, nil
		}
		return Part{}, p.noProgress(fmt.Sprintf("behind position %d it gives entries again that were read before", m.Offset), m.Offset, total)
	}
	m.Add(ids)
	m.Offset = offset
	return part, nil
}

func (p *Positions) noProgress(what string, read, total int64) error {
	return NoProgressOf(cmp.Or(p.Of, "users"), p.Name, what, read, total)
}

func (p *Positions) total(ctx context.Context, l *List) (int64, error) {
	if p.Total == nil {
		return l.Total, nil
	}
	n, ok, err := p.Total(ctx)
	if !ok {
		n = 0
	}
	return n, err
}

// rewind restarts the walk: hardly any of the last entries read is where it was.
func (p *Positions) rewind(m *Mark) (Part, error) {
	if m.Rewinds == maxRewinds {
		return Part{}, p.noProgress(fmt.Sprintf("it has no order: the entries read last are not where they were, after %d new beginnings", m.Rewinds), m.Offset, 0)
	}
	*m = Mark{Rewinds: m.Rewinds + 1}
	return Part{Restarted: true}, nil
}
