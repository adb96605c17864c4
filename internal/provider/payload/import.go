package payload

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Import creates the event of an object that authsync read itself. The change has the provider's
// Mapping (and NumericID); prepare, which may be nil, adds what the mapping cannot say, and gets
// whether the object is whole.
//
// Clocks are those of an update: the object's updated_at, otherwise the time when the request that
// read it was sent, which serves as the time of receipt.
func Import(
	object json.RawMessage, i provider.Import, o provider.Options, c Change, prepare func(c *Change, whole bool),
) provider.Event {
	e := provider.Event{ID: i.Kind + ":" + i.RunID, Type: i.Kind, SentAt: Receipt(i.FetchedAt)}
	d := provider.Message{ReceivedAt: i.FetchedAt}
	if c.Type != record.User {
		e.RecordType = c.Type
	}
	rest, _ := NewExclusion(o).Remove(object)
	doc, err := Parse(rest)
	if err != nil {
		return Failed(d, e, strings.Replace(err.Error(), "the body", "the "+string(c.Type), 1))
	}
	if !doc.IsObject() {
		return Failed(d, e, NotObject("the "+string(c.Type), doc))
	}
	c.Path, c.Object, c.Values = string(c.Type), doc, c.read(doc)
	if c.Values[LastSignInAt].IsAbsent() && i.LastSignInAt != nil {
		e.LastSignInIsLeast = true // sessions end and are deleted
		c.Values[LastSignInAt] = Value(`"` + Format(*i.LastSignInAt) + `"`)
		if c.path(LastSignInAt) == "" {
			c.Keys = append(c.Keys, Key{LastSignInAt, "last_sign_in_at"})
		}
	}
	whole := i.Whole || o.AbsentFields == provider.ClearAbsent
	if whole {
		c.clearAbsent(&c.Values)
	}
	if prepare != nil {
		prepare(&c, whole)
	}
	return c.Apply(d, e)
}

// Lists are the records beside users that a provider can list, each with its mapping.
type Lists struct {
	Organizations, Memberships, Invitations func() Mapping
	// NumericID is that of the Change.
	NumericID bool
	// Prepare, which may be nil, is that of Import.
	Prepare func(c *Change, whole bool)
}

// Import is Import for an object of a list.
func (l Lists) Import(t record.Type, object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	var mapping func() Mapping
	switch t {
	case record.Organization:
		mapping = l.Organizations
	case record.Membership:
		mapping = l.Memberships
	case record.Invitation:
		mapping = l.Invitations
	case record.User, record.Session:
	}
	if mapping == nil {
		e := provider.Event{ID: i.Kind + ":" + i.RunID, Type: i.Kind, RecordType: t, SentAt: Receipt(i.FetchedAt)}
		return Failed(provider.Message{ReceivedAt: i.FetchedAt}, e, "records of type "+string(t)+" are not read from the provider")
	}
	return Import(object, i, o, Change{Mapping: mapping(), NumericID: l.NumericID}, l.Prepare)
}
