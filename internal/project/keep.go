package project

import (
	"maps"
	"slices"

	"github.com/authsync/authsync/internal/retention"
)

// Keep holds changes to how many days parts of a project's history are kept: nil means the server's default, and a part
// that is missing stays as it is.
type Keep map[retention.Part]*int

// over returns the settings with the changes. The error is fault.Invalid if they cannot be; without changes there is none, even
// if the server's defaults have changed since.
func (k Keep) over(stored retention.Settings, defaults retention.Defaults) (retention.Settings, error) {
	for _, name := range slices.Sorted(maps.Keys(k)) {
		part, err := retention.Known(string(name))
		if err != nil {
			return stored, err
		}
		*stored.Of(part) = k[name]
	}
	if len(k) == 0 {
		return stored, nil
	}
	return stored, stored.Check(defaults)
}

func (r *projectRow) keep() retention.Settings {
	return retention.Settings{Inbox: r.KeepInbox, Ledger: r.KeepLedger, Changes: r.KeepChanges, Deliveries: r.KeepDeliveries}
}

func periods(s retention.Settings, d retention.Defaults) map[retention.Part]retention.Period {
	all := make(map[retention.Part]retention.Period, len(retention.Parts()))
	for _, p := range retention.Parts() {
		all[p] = s.Effective(d, p)
	}
	return all
}
