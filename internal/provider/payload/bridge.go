package payload

import "bytes"

// Bridge is an envelope of Amazon EventBridge. Its fields are nil if they are missing.
type Bridge struct {
	ID, Time, DetailType Value
}

// Unwrap takes an envelope of Amazon EventBridge off, so that an event is the same with and without one:
//
//	{"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail": {the event}}
//
// Any other value is returned as it is, with no Bridge. Definitions have the same rule in jq: custom's anEnvelope.
func Unwrap(v Value) (event Value, b *Bridge) {
	if !v.IsObject() || !bytes.Contains(v, []byte(`"detail-type"`)) { // in most events nothing more is looked at
		return v, nil
	}
	b = new(Bridge)
	for key, value := range v.Members() {
		switch string(key) {
		case "id":
			b.ID = value
		case "time":
			b.Time = value
		case "detail-type":
			b.DetailType = value
		case "detail":
			event = value
		}
	}
	if !event.IsObject() || b.DetailType.IsAbsent() {
		return v, nil
	}
	return event, b
}
