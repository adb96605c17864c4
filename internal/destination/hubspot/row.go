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
)

// property is a contact property and the expression for its value.
type property struct {
	name       string
	expression *jq.Expression
}

// row is a message being sent, with its property values and its result.
type row struct {
	message destination.Message
	link    string
	// key, path and emails identify the contact: the value of id_property, the record id in the user, and the
	// current (empty: none) and previous addresses.
	key, path string
	email     string
	emails    []string
	// change holds the properties that changed, for a contact in sync; full holds all of them, for a contact
	// that is new, newly found or possibly out of sync.
	change, full map[string]string
	result       *destination.Result // nil: not yet known
}

func (r *row) deleted() bool { return r.message.EventType == destination.UserDeleted }

// retry reports whether an earlier attempt may have arrived. The contact may then differ from Before, so all
// properties are sent.
func (r *row) retry() bool { return r.message.Attempt > 1 }

func (r *row) done(result destination.Result) { r.result = &result }

// row evaluates a message. If that fails, the row gets its result, unless ctx has ended.
func (h *hubspot) row(ctx context.Context, m destination.Message) *row {
	ctx = context.WithoutCancel(ctx)
	r := &row{message: m, link: m.ExternalID, change: map[string]string{}, full: map[string]string{}}
	if err := h.fill(ctx, r); err != nil {
		r.done(destination.Unmade(err, err.Error()))
	}
	return r
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
	for _, p := range h.mapping {
		value, err := p.value(ctx, nowInput)
		if err != nil {
			return err
		}
		was := ""
		if m.Before != nil {
			// If an expression fails on the row before, its old value counts as empty.
			was, err = p.value(ctx, beforeInput)
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
		if value != was && p.name != h.IDProperty {
			r.change[p.name] = value
		}
	}
	r.key = r.full[h.IDProperty]
	r.path = h.pathValue(m.Row)
	r.email = r.full["email"]
	for _, address := range []string{r.email, wasEmail} {
		if address != "" && (len(r.emails) == 0 || !strings.EqualFold(address, r.emails[0])) {
			r.emails = append(r.emails, address)
		}
	}
	h.settle(r)
	return nil
}

// settle adds the properties set when a user is deleted or restored. For a deleted user nothing else is sent;
// for a restored one, everything is.
func (h *hubspot) settle(r *row) {
	if r.deleted() {
		r.change, r.full = h.OnDelete.set, h.OnDelete.set
		return
	}
	maps.Copy(r.full, h.onRestore)
	if r.retry() || r.message.EventType == destination.UserRestored {
		r.change = maps.Clone(r.full)
		delete(r.change, h.IDProperty)
	}
}

func (p property) value(ctx context.Context, in *jq.Input) (string, error) {
	value, _, err := p.expression.One(ctx, in)
	if err != nil {
		return "", err
	}
	text, err := wireText(value)
	if err != nil {
		return "", fmt.Errorf("options.properties.%s gives %w", p.name, err)
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

// pathValue returns the record id at id_path in the user, empty if there is none.
func (h *hubspot) pathValue(user json.RawMessage) string {
	if h.IDPath == "" {
		return ""
	}
	at := user
	for key := range strings.SplitSeq(h.IDPath, ".") {
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
