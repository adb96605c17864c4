package betterauth

import (
	"encoding/json"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// DecodeUser translates a row of Better Auth's user table, as its admin API prints it or with
// the fields' names as keys.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Keys: keys(), NumericID: true}, nil)
}
