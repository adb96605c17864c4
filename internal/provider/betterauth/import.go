package betterauth

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// DecodeUser translates a row of Better Auth's user table, as its admin API prints it or with
// the fields' names as keys.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Keys: keys(), NumericID: true}, nil)
}

// RawKeys are those of Better Auth itself and of its plugin admin. Without dates, which a
// table writes in another way.
func (Provider) RawKeys() []string {
	return strings.Fields(`name emailVerified image role banned banReason`)
}
