package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/record"
)

// draft is the part of the form of a destination that shows what it would be sent, before it is stored.
type draft struct {
	RecordType, RecordID entry
	// Preview is nil as long as none was asked for.
	Preview    *wire.Preview
	Shown      []shownRequest
	RecordPath string
}

// Names of its fields.
const (
	draftType = "preview_type"
	draftID   = "preview_id"
)

func (t *destinationType) draftOf(form url.Values) draft {
	chosen := form.Get(draftType)
	if chosen == "" {
		chosen = string(record.User)
	}
	return draft{
		RecordType: entry{Name: draftType, Label: "Record type", Kind: asChoice, Choices: choicesOf(recordTypesOf(t)), Value: chosen},
		RecordID: entry{
			Name: draftID, Label: "Record id", Kind: asText, Example: "user_2xKq9", Value: form.Get(draftID),
			Hint: "Its newest change is taken. Nothing is stored or sent, and secrets need not be entered for it.",
		},
	}
}

// standIn is in place of secrets that a preview does without: those that are stored are not given out, not even in a form
// that could send them elsewhere.
const standIn = "preview-without-secret"

// withStandIns gives a preview all secrets that expressions may name.
func (t *destinationType) withStandIns(order destinationOrder, existing []string) destinationOrder {
	secrets := map[string]*string{}
	for name, value := range order.Secrets {
		switch {
		case value == nil: // it is to be removed
			existing = slices.DeleteFunc(existing, func(other string) bool { return other == name })
		case *value != "":
			secrets[name] = value
		}
	}
	for _, s := range t.Secrets {
		existing = append(existing, s.name)
	}
	for _, name := range existing {
		value := standIn
		switch {
		case secrets[name] != nil, t.Rotates: // of a webhook one is made
			continue
		case name == hubspot.TokenSecret && t.Name == hubspot.Name:
			value = "pat-" + strings.Repeat("0", 40)
		}
		secrets[name] = &value
	}
	order.Secrets = secrets
	return order
}

// previewDraft shows what the destination in the form would be sent. existing are the names of the secrets that are stored.
func (t *destinationType) previewDraft(v *visit, existing []string) (d draft, err error) {
	d = t.draftOf(v.form)
	order, err := t.order(v.form, existing)
	if err != nil {
		return d, err
	}
	if d.RecordID.Value = strings.TrimSpace(d.RecordID.Value); d.RecordID.Value == "" {
		d.RecordID.Fault = "Enter the id of a record whose newest change is to be shown."
		return d, nil
	}
	for n := range newSecrets {
		if name := strings.TrimSpace(v.form.Get(newSecretField(n, "name"))); name != "" && t.NamesSecrets {
			existing = append(existing, name)
		}
	}
	order = t.withStandIns(order, existing)
	sent := struct {
		destinationOrder

		Name       *string `json:"name,omitempty"`
		RecordType string  `json:"record_type"`
		RecordID   string  `json:"record_id"`
	}{destinationOrder: order, RecordType: d.RecordType.Value, RecordID: d.RecordID.Value}
	sent.Type, sent.Since = t.Name, ""
	preview, err := ask[wire.Preview](v, sent, "projects", v.project.ID, "destinations", "preview")
	if known := new(problemError); errors.As(err, &known) && known.Status == http.StatusNotFound {
		d.RecordID.Fault = "The mirror has no such record, or no change of it is left in the change feed."
		return d, nil
	}
	if err != nil {
		return d, err
	}
	d.Preview, d.Shown = &preview, shownRequests(preview.Requests)
	d.RecordPath = pathOf("projects", v.project.ID, "records", d.RecordType.Value, d.RecordID.Value)
	return d, nil
}

// draftPage is the form again, with the preview or with what is wrong.
func (t *destinationType) draftPage(v *visit, existing []string, page func(*problemError) view) (done, error) {
	d, err := t.previewDraft(v, existing)
	invalid, ok := refused(err)
	if err != nil && !ok {
		return done{}, err
	}
	shown := page(invalid)
	if isLook(v.Request) { // what is half typed is no failure
		shown.status = 0
	}
	if f, isForm := shown.data.(destinationForm); isForm {
		f.Draft = d
		shown.data = f
	}
	return done{shown: &shown}, nil
}
