package hubspottest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The paths of associations.
const (
	batchAssociations = "/crm/v4/associations/contacts/companies/batch"
	associations      = "/crm/v4/objects/contacts/"
)

// maxAssociations is how many pairs a batch may have.
const maxAssociations = 1000

// Association is a contact that belongs to a company.
type Association struct{ Contact, Company string }

// Associations are those there are, in the order of their ids.
func (h *HubSpot) Associations() []Association {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Association, 0, len(h.associations))
	for a := range h.associations {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Association) int {
		return cmp.Or(number(a.Contact)-number(b.Contact), number(a.Company)-number(b.Company))
	})
	return out
}

// end is one side of a pair on the wire.
type end struct {
	ID string `json:"id"`
}

type associated struct {
	From end            `json:"from"`
	To   end            `json:"to"`
	Spec map[string]any `json:"associationSpec"`
}

// associate answers requests about associations.
func (h *HubSpot) associate(r *http.Request, body []byte) *answer {
	if action, batch := strings.CutPrefix(r.URL.Path, batchAssociations); batch {
		switch {
		case r.Method == http.MethodPost && action == "/associate/default":
			return decoded(body, h.associateBatch)
		case r.Method == http.MethodPost && action == "/archive":
			return decoded(body, h.archiveBatch)
		}
		return notFound()
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, associations), "/")
	switch {
	case r.Method == http.MethodPut && len(parts) == 5 && parts[1] == "associations" && parts[2] == "default" && parts[3] == companies:
		pair, fault := h.pair(parts[0], parts[4])
		if fault != nil {
			return fault
		}
		h.associations[pair] = true
		return &answer{status: http.StatusOK, body: map[string]any{"status": "COMPLETE", "results": both(pair)}}
	case r.Method == http.MethodDelete && len(parts) == 4 && parts[1] == "associations" && parts[2] == companies:
		if pair, fault := h.pair(parts[0], parts[3]); fault == nil {
			delete(h.associations, pair)
		}
		return &answer{status: http.StatusNoContent}
	default:
		return notFound()
	}
}

// pair is a pair of objects that exist, by their present ids.
func (h *HubSpot) pair(contact, company string) (Association, *answer) {
	c, o := h.contacts.find(contact, ""), h.companies.find(company, "")
	var invalid []string
	if c == nil {
		invalid = append(invalid, "CONTACT="+contact+" is not valid")
	}
	if o == nil {
		invalid = append(invalid, "COMPANY="+company+" is not valid")
	}
	if len(invalid) > 0 {
		a := refuse(http.StatusBadRequest, "VALIDATION_ERROR", "One or more associations are invalid")
		if p, ok := a.body.(problem); ok {
			p.Context = map[string][]string{"INVALID_OBJECT_IDS": invalid}
			a.body = p
		}
		return Association{}, a
	}
	return Association{c.ID, o.ID}, nil
}

// both is a pair as answers have it: in either direction.
func both(a Association) []associated {
	contact, company := end{a.Contact}, end{a.Company}
	return []associated{
		{company, contact, map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280}},
		{contact, company, map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}},
	}
}

type associationBatch struct {
	Inputs []struct {
		From end `json:"from"`
		To   end `json:"to"`
	} `json:"inputs"`
}

// associateBatch answers pair by pair. An error does not say which pair it is about, except by the ids that are not there.
func (h *HubSpot) associateBatch(b associationBatch) *answer {
	if fault := h.checkSize(len(b.Inputs)); fault != nil {
		return fault
	}
	results, problems := []associated{}, []any{}
	for _, in := range slices.Backward(b.Inputs) {
		pair, fault := h.pair(in.From.ID, in.To.ID)
		if fault != nil {
			problems = append(problems, fault.body)
			continue
		}
		h.associations[pair] = true
		results = append(results, both(pair)...)
	}
	out := map[string]any{"status": "COMPLETE", "results": results}
	if len(problems) == 0 {
		return &answer{status: http.StatusOK, body: out}
	}
	out["errors"], out["numErrors"] = problems, len(problems)
	return &answer{status: http.StatusMultiStatus, body: out}
}

type archiveBatch struct {
	Inputs []struct {
		From end   `json:"from"`
		To   []end `json:"to"`
	} `json:"inputs"`
}

// archiveBatch fails as a whole if an object is not there.
func (h *HubSpot) archiveBatch(b archiveBatch) *answer {
	if fault := h.checkSize(len(b.Inputs)); fault != nil {
		return fault
	}
	var gone []Association
	for _, in := range b.Inputs {
		for _, to := range in.To {
			pair, fault := h.pair(in.From.ID, to.ID)
			if fault != nil {
				return fault
			}
			gone = append(gone, pair)
		}
	}
	for _, pair := range gone {
		delete(h.associations, pair)
	}
	return &answer{status: http.StatusNoContent}
}

func (h *HubSpot) checkSize(pairs int) *answer {
	if pairs > 0 && pairs <= maxAssociations {
		return nil
	}
	h.violate(fmt.Sprintf("a batch has %d pairs", pairs))
	return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "The number of inputs is not allowed")
}
