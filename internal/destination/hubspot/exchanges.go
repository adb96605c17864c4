package hubspot

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// share is a row that a request is about, with its input of a batch; a nil input means that the request is about it alone.
type share struct {
	row   *row
	input any
}

func shares(rows []*row) []share {
	all := make([]share, len(rows))
	for i, r := range rows {
		all[i].row = r
	}
	return all
}

// call sends a request, see do, and notes it at the rows that it is about. Of a batch a row gets its own inputs only, and no response:
// the others are about other people, whose erasure would not find them there. See answered.
func (s *sending) call(ctx context.Context, r request, about ...share) (*answer, *destination.Result) {
	a, exchange, trouble := s.do(ctx, r)
	if exchange == nil {
		return a, trouble
	}
	inputs := map[*row][]any{}
	for _, one := range about {
		inputs[one.row] = append(inputs[one.row], one.input)
	}
	for _, one := range about {
		own, is := inputs[one.row]
		if !is {
			continue // noted already
		}
		delete(inputs, one.row)
		noted := *exchange
		noted.Header = exchange.Header.Clone()
		if one.input != nil && len(own) < len(about) {
			noted.Note = fmt.Sprintf("part of a batch of %d records, whose parts and answers are left out", len(about))
			noted.Response = ""
			noted.Body, noted.BodyCut = s.part(r, own)
		}
		one.row.noteExchange(noted)
	}
	if trouble != nil && len(about) > 1 && trouble.Status/100 == 2 {
		trouble.Response = "" // it broke off, and names other records
	}
	return a, trouble
}

// part is the start of the body of a batch that has some of its inputs alone.
func (s *sending) part(r request, own []any) (text string, isCut bool) {
	all, _ := r.body.(map[string]any)
	body := maps.Clone(all)
	body["inputs"] = own
	encoded, err := json.Marshal(body)
	if err != nil {
		return "", true
	}
	return s.mask.Excerpt(encoded[:min(len(encoded), s.mask.ReadAhead())])
}

// noteExchange keeps requests about the row, of all the last ones.
func (r *row) noteExchange(more ...destination.Exchange) {
	r.exchanges = append(r.exchanges, more...)
	if over := len(r.exchanges) - destination.MaxExchanges; over > 0 {
		r.exchanges, r.omitted = r.exchanges[over:], r.omitted+over
	}
}

// answered notes the row's own part of the response to a batch.
func (r *row) answered(response string) {
	if last := len(r.exchanges) - 1; last >= 0 {
		r.exchanges[last].Response = response
	}
}

// hideOther leaves the last response out if it names another record's id: that one's erasure would not find it here.
func (r *row) hideOther(owner string) {
	organization, user, _ := record.SplitMembershipID(r.message.RecordID)
	switch owner {
	case "", r.key, r.message.RecordID, organization, user:
		return
	}
	if last := len(r.exchanges) - 1; last >= 0 {
		r.exchanges[last].Response, r.exchanges[last].Note = "", "the answer names another record, and is left out"
	}
}
