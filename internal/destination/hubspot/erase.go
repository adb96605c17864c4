package hubspot

import (
	"context"
	"net/http"

	"github.com/authsync/authsync/internal/destination"
)

// erasePath is HubSpot's own erasure (GDPR): the contact goes for ever, with what is associated with it. Archiving, which is
// what a deletion does, can be undone.
const erasePath = "/gdpr-delete"

// erase erases the contact of a user: the stored one, otherwise the one that id_property names. It never names a contact by
// its address: HubSpot would block an address that it does not know, also for whoever signs up with it later.
func (s *sending) erase(ctx context.Context, r *row) *destination.Result {
	var found *match
	var trouble *destination.Result
	if r.link != "" {
		found, trouble = s.read(ctx, r.of, lookup{r.link, ""}, r)
	}
	if trouble == nil && found == nil && r.of.IDProperty != "" {
		found, trouble = s.read(ctx, r.of, lookup{r.message.RecordID, r.of.IDProperty}, r)
	}
	forget := new(string)
	switch {
	case trouble != nil:
		return trouble
	case found == nil:
		return &destination.Result{Outcome: destination.Delivered, Reason: "HubSpot has no contact of the user", ExternalID: forget}
	case found.owner != "" && found.owner != r.message.RecordID:
		return &destination.Result{Outcome: destination.Delivered, Reason: "the contact is another user's by now and stays", ExternalID: forget}
	}
	a, trouble := s.call(ctx, request{http.MethodPost, r.of.path() + erasePath, nil, map[string]string{"objectId": found.id}}, share{row: r})
	switch {
	case trouble != nil:
		return trouble
	case a.ok(), a.status == http.StatusNotFound:
		result := s.result(a, destination.Delivered, "the contact was erased")
		result.ExternalID = forget
		return result
	default:
		return s.refused(r.of, a)
	}
}
