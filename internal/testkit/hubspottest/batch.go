package hubspottest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxRows is how many rows a batch may have.
const maxRows = 100

type batch struct {
	Inputs []input `json:"inputs"`
}

type input struct {
	ID         string            `json:"id"`
	IDProperty string            `json:"idProperty"`
	Trace      string            `json:"objectWriteTraceId"`
	Properties map[string]string `json:"properties"`
}

type batchAnswer struct {
	Status    string    `json:"status"`
	Results   []object  `json:"results"`
	Errors    []problem `json:"errors,omitempty"`
	NumErrors int       `json:"numErrors,omitempty"`
}

// checkBatch refuses what fails as a whole.
func (s *store) checkBatch(b batch) *answer {
	if len(b.Inputs) == 0 || len(b.Inputs) > maxRows {
		s.violate(fmt.Sprintf("a batch has %d rows", len(b.Inputs)))
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "The maximum number of inputs is 100")
	}
	seen := map[string]bool{}
	for _, in := range b.Inputs {
		key := strings.ToLower(in.IDProperty + "\x00" + in.ID)
		if seen[key] {
			s.violate("a batch has two rows with the same id")
			return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "Duplicate IDs found in batch input: ["+in.ID+"]. IDs must be unique")
		}
		seen[key] = true
		if in.IDProperty != b.Inputs[0].IDProperty {
			s.violate("a batch mixes properties that identify")
			return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "All inputs must have the same idProperty")
		}
		for name := range in.Properties {
			if !s.known(name) {
				return s.checkValues(in.Properties)
			}
		}
	}
	return nil
}

func (s *store) batchUpsert(b batch) *answer {
	if fault := s.checkBatch(b); fault != nil {
		return fault
	}
	key := b.Inputs[0].IDProperty
	if !s.unique(key) {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "Unable to perform update/upsert by non-unique 0-1 property "+key)
	}
	if key == "email" {
		for _, in := range b.Inputs {
			if fault := s.check(s.find(in.ID, key), withKey(in)); fault != nil {
				return fault
			}
		}
	}
	return s.rows(b, func(in input) (*Object, bool, *answer) {
		c := s.find(in.ID, key)
		properties := withKey(in)
		if fault := s.check(c, properties); fault != nil {
			return nil, false, fault
		}
		if c == nil {
			return s.add(properties), true, nil
		}
		s.set(c, properties)
		return c, false, nil
	})
}

// withKey are the properties of a row with the one that identifies it.
func withKey(in input) map[string]string {
	out := map[string]string{in.IDProperty: in.ID}
	for name, value := range in.Properties {
		if name != in.IDProperty || !same(name, value, in.ID) {
			out[name] = value
		}
	}
	return out
}

func (s *store) batchUpdate(b batch) *answer {
	if fault := s.checkBatch(b); fault != nil {
		return fault
	}
	if b.Inputs[0].IDProperty != "" {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "Unable to perform update/upsert by non-unique 0-1 property "+b.Inputs[0].IDProperty)
	}
	return s.rows(b, func(in input) (*Object, bool, *answer) {
		c := s.find(in.ID, "")
		if c == nil {
			return nil, false, notFound()
		}
		if fault := s.check(c, in.Properties); fault != nil {
			return nil, false, fault
		}
		s.set(c, in.Properties)
		return c, false, nil
	})
}

// rows writes row by row. The results come in another order than the rows. Those of an
// upsert have traces, those of an update have ids only.
func (s *store) rows(b batch, do func(in input) (c *Object, made bool, fault *answer)) *answer {
	out := batchAnswer{Status: "COMPLETE", Results: []object{}}
	for _, in := range slices.Backward(b.Inputs) {
		c, made, fault := do(in)
		if fault != nil {
			if p, ok := fault.body.(problem); ok {
				p.Context = map[string][]string{"ids": {in.ID}}
				if in.IDProperty != "" {
					p.Context = map[string][]string{"objectWriteTraceId": {in.Trace}}
				}
				out.Errors = append(out.Errors, p)
			}
			continue
		}
		row := wire(c)
		if in.IDProperty != "" {
			row.New, row.Trace = &made, in.Trace
		}
		out.Results = append(out.Results, row)
	}
	out.NumErrors = len(out.Errors)
	if out.NumErrors > 0 {
		return &answer{status: http.StatusMultiStatus, body: out}
	}
	return &answer{status: http.StatusOK, body: out}
}

type readBatch struct {
	IDProperty string   `json:"idProperty"`
	Properties []string `json:"properties"`
	Inputs     []end    `json:"inputs"`
}

// batchRead answers with the objects there are, in another order than they were asked for, and names the others.
func (s *store) batchRead(b readBatch) *answer {
	ids := make([]string, len(b.Inputs))
	for i, in := range b.Inputs {
		ids[i] = in.ID
	}
	slices.Sort(ids)
	if len(ids) == 0 || len(ids) > maxRows || len(slices.Compact(slices.Clone(ids))) < len(ids) {
		s.violate(fmt.Sprintf("a batch reads %d objects, or one twice", len(ids)))
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "The maximum number of inputs is 100")
	}
	out := batchAnswer{Status: "COMPLETE", Results: []object{}}
	var missing []string
	for _, id := range slices.Backward(ids) {
		one := s.read(id, b.IDProperty, b.Properties)
		switch body := one.body.(type) {
		case object:
			out.Results = append(out.Results, body)
		default:
			if one.status != http.StatusNotFound {
				return one
			}
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return &answer{status: http.StatusOK, body: out}
	}
	out.NumErrors, out.Errors = 1, []problem{{
		Status: "error", Category: "OBJECT_NOT_FOUND", Context: map[string][]string{"ids": missing},
		Message: "Could not get some " + strings.ToUpper(s.name) + " objects, they may be deleted or not exist. Check that ids are valid.",
	}}
	return &answer{status: http.StatusMultiStatus, body: out}
}

type query struct {
	FilterGroups []struct {
		Filters []struct {
			PropertyName string `json:"propertyName"`
			Operator     string `json:"operator"`
			Value        string `json:"value"`
		} `json:"filters"`
	} `json:"filterGroups"`
	Limit int `json:"limit"`
}

// search answers from what was written before the lag.
func (s *store) search(q query) *answer {
	if len(q.FilterGroups) != 1 || len(q.FilterGroups[0].Filters) != 1 || q.FilterGroups[0].Filters[0].Operator != "EQ" {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "this HubSpot knows one filter with the operator EQ")
	}
	filter := q.FilterGroups[0].Filters[0]
	results := []object{}
	before := s.config.Now().Add(-s.config.SearchLag)
	for _, c := range s.objects {
		if properties := c.asOf(before); same(filter.PropertyName, properties[filter.PropertyName], filter.Value) {
			results = append(results, object{ID: c.ID, Properties: properties})
		}
	}
	return &answer{status: http.StatusOK, body: map[string]any{"total": len(results), "results": results}}
}

func (c *Object) asOf(at time.Time) map[string]string {
	var out map[string]string
	for _, v := range c.versions {
		if !v.at.After(at) {
			out = v.properties
		}
	}
	return out
}
