package userapi

import (
	"context"
	"fmt"
)

const (
	lookBack     = 250 // entries, at first
	maxLooks     = 30  // requests for one page
	maxRewinds   = 10  // of a walk
	maxEndChecks = 3
	maxBeyond    = 10_000 // entries, beyond twice what is counted
)

// Positions walks over a list that is addressed by position, which moves when
// users are deleted or created: each part that is asked for begins with the
// users that were read last, and counts only if they are where they should be.
type Positions struct {
	// Name is whose list it is.
	Name   string
	Client *Client
	// List asks for the list from a position on.
	List func(ctx context.Context, from int64) (List, error)
	// Total asks how many users there are, for a list that does not say; nil: it does.
	Total func(ctx context.Context) (n int64, ok bool, err error)
}

// Part is what Next has read.
type Part struct {
	List

	// End says that nothing lies behind the mark.
	End bool
	// Restarted says that the list has changed so much that the walk begins anew.
	Restarted bool
}

// Next reads what lies behind the mark, and moves it. What comes is at the end
// only if the list shows the users read last and nobody behind them, and no
// more users are counted than were read. Otherwise it fails with what it saw.
func (p *Positions) Next(ctx context.Context, m *Mark) (Part, error) {
	from, back := max(m.Offset-int64(len(m.Recent)), 0), int64(lookBack)
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
		case !joined && from > 0: // users before were deleted, so the list has moved up
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
		if first > recents { // the list was not given from there on: ask again for what lies behind
			strays++
			if strays <= maxEndChecks {
				from += first
				continue
			}
		} else { // others may have come before the mark, or gone
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
			return Part{}, NoProgress(p.Name, fmt.Sprintf("asked for what lies behind position %d, it gives what lies before it", from), m.Offset, total)
		case ends == maxEndChecks:
			return Part{}, NoProgress(p.Name, fmt.Sprintf("it ends at position %d", m.Offset), m.Offset, total)
		}
		ends++
		if err := p.Client.BackOff(ctx, ends); err != nil {
			return Part{}, err
		}
	}
	return Part{}, NoProgress(p.Name, fmt.Sprintf("behind position %d each answer contradicts the one before", m.Offset), m.Offset, 0)
}

// behind leaves what stands behind a place. Bad entries count if they lie behind
// the offset: the others were reported before.
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

// take moves the mark behind a part, unless it was read before.
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
			return Part{}, NoProgress(p.Name, "it gives entries without an id", m.Offset, total)
		}
		if first == 0 && ids[0] == m.First && m.Offset == total { // behind the end it begins anew
			return Part{End: true, List: List{SentAt: part.SentAt, Total: part.Total}}, nil
		}
		return Part{}, NoProgress(p.Name, fmt.Sprintf("behind position %d it gives users again that were read before", m.Offset), m.Offset, total)
	}
	m.Add(ids)
	m.Offset = offset
	return part, nil
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

// rewind begins the walk anew: of the users read last none, or hardly any, is
// where it was.
func (p *Positions) rewind(m *Mark) (Part, error) {
	if m.Rewinds == maxRewinds {
		return Part{}, NoProgress(p.Name, fmt.Sprintf("it has no order: the users read last are not where they were, after %d new beginnings", m.Rewinds), m.Offset, 0)
	}
	*m = Mark{Rewinds: m.Rewinds + 1}
	return Part{Restarted: true}, nil
}
