package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/record"
)

// property is a property of an object and the expression for its value.
type property struct {
	name       string
	expression *jq.Expression
}

// row is a message being sent, with its property values and its result.
type row struct {
	message destination.Message
	of      *objects // nil: of a membership, or while companies are not kept
	link    string
	// key, path and emails identify the object: the value of id_property, the record id in the record, and the
	// current (empty: none) and previous addresses.
	key, path string
	email     string
	emails    []string
	// change holds the properties that changed, for an object in sync; full holds all of them, for one
	// that is new, newly found or possibly out of sync.
	change, full map[string]string
	result       *destination.Result // nil: not yet known
	// exchanges are the last requests about the row, see noteExchange; omitted is the number of earlier ones.
	exchanges []destination.Exchange
	omitted   int
}

// erased reports whether the message is the erasure of a user.
func (r *row) erased() bool { return r.message.Kind() == record.Erased }

func (r *row) deleted() bool { return r.message.Kind() == record.Deleted }

// retry reports whether an earlier attempt may have arrived. The object may then differ from Before, so all
// properties are sent.
func (r *row) retry() bool { return r.message.Attempt > 1 }

func (r *row) done(result destination.Result) { r.result = &result }

// row evaluates a message. If that fails, the row gets its result, unless ctx has ended.
func (h *hubspot) row(ctx context.Context, m destination.Message) *row {
	ctx = context.WithoutCancel(ctx)
	r := &row{message: m, of: h.objectsOf(m.RecordType), link: m.ExternalID, change: map[string]string{}, full: map[string]string{}}
	if r.of == nil {
		if h.companies == nil { // the option was removed while deliveries waited
			r.done(destination.Result{Outcome: destination.Delivered, Reason: "nothing was sent: the option companies is not set"})
		}
		return r
	}
	if r.erased() { // its row has the id alone
		return r
	}
	if err := h.fill(ctx, r); err != nil {
		r.done(destination.Unmade(err, err.Error()))
	}
	return r
}

// objectsOf returns what records of a type are in HubSpot, nil if they are no objects there.
func (h *hubspot) objectsOf(t record.Type) *objects {
	switch t {
	case record.User:
		return h.contacts
	case record.Organization:
		return h.companies
	default:
		return nil
	}
}

func (h *hubspot) fill(ctx context.Context, r *row) error {
	m := r.message
	now, err := destination.Input(m)
	if err != nil {
		return err
	}
	before, err := destination.Input(destination.Message{
		ID: m.ID, ProjectID: m.ProjectID, RecordType: m.RecordType, RecordID: m.RecordID, EventType: m.EventType, Provider: m.Provider, Row: m.Before,
	})
	if err != nil {
		return err
	}
	nowInput, beforeInput := jq.Of(now), jq.Of(before)
	wasEmail := ""
	for _, p := range r.of.mapping {
		value, err := p.value(ctx, r.of, nowInput)
		if err != nil {
			return err
		}
		was := ""
		if m.Before != nil {
			// If an expression fails on the row before, its old value counts as empty.
			was, err = p.value(ctx, r.of, beforeInput)
			if destination.Halts(err) || destination.Unavailable(err) {
				return err
			}
			if err != nil {
				was = ""
			}
		}
		if p.name == "email" {
			wasEmail = was
		}
		if value == "" {
			continue
		}
		r.full[p.name] = value
		if value != was && p.name != r.of.IDProperty {
			r.change[p.name] = value
		}
	}
	r.key = r.full[r.of.IDProperty]
	r.path = r.of.pathValue(m.Row)
	if !r.of.byEmail {
		r.settle()
		return nil
	}
	r.email = r.full["email"]
	for _, address := range []string{r.email, wasEmail} {
		if address != "" && (len(r.emails) == 0 || !strings.EqualFold(address, r.emails[0])) {
			r.emails = append(r.emails, address)
		}
	}
	r.settle()
	return nil
}

// settle adds the properties set when a record is deleted or restored. For a deleted one nothing else is sent;
// for a restored one, everything is.
func (r *row) settle() {
	if r.deleted() {
		r.change, r.full = r.of.OnDelete.set, r.of.OnDelete.set
		return
	}
	maps.Copy(r.full, r.of.onRestore)
	if r.retry() || r.message.Kind() == record.Restored {
		r.change = maps.Clone(r.full)
		delete(r.change, r.of.IDProperty)
	}
}

func (p property) value(ctx context.Context, of *objects, in *jq.Input) (string, error) {
	value, _, err := p.expression.One(ctx, in)
	if err != nil {
		return "", err
	}
	text, err := wireText(value)
	if err != nil {
		return "", fmt.Errorf("options.%sproperties.%s gives %w", of.option, p.name, err)
	}
	return text, nil
}

// wireText converts a value to the string HubSpot takes: a list becomes a multiple-choice value, null an empty
// string.
func wireText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return strings.TrimSpace(v), nil
	case []any:
		texts := make([]string, 0, len(v))
		for _, one := range v {
			if _, nested := one.([]any); nested {
				return "", errors.New("a list within a list; make a text of it, with join or tojson")
			}
			text, err := wireText(one)
			if err != nil {
				return "", err
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ";"), nil
	case map[string]any:
		return "", errors.New("an object; take one of its values, or make a text of it with tojson")
	default:
		text, err := json.Marshal(v)
		return string(text), err
	}
}

// pathValue returns the id of the object at id_path in the record, empty if there is none.
func (o *objects) pathValue(row json.RawMessage) string {
	if o.IDPath == "" {
		return ""
	}
	at := row
	for key := range strings.SplitSeq(o.IDPath, ".") {
		var object map[string]json.RawMessage
		if json.Unmarshal(at, &object) != nil {
			return ""
		}
		at = object[key]
	}
	text := string(at)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	if !recordID(text) {
		return ""
	}
	return text
}
