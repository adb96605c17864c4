package destination

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// MessageID is the id under which a destination is told of a change, the same for every attempt and
// every replay, in every process. It has no dots, which Standard Webhooks forbids.
func MessageID(destinationID uuid.UUID, changeID int64) string {
	return "msg_" + hex.EncodeToString(destinationID[:]) + "_" + strconv.FormatInt(changeID, 10)
}

// Input is a message as conditions and mappings see it. Numbers are json.Number, so that a
// large one stays what it is. What expressions make of it may share parts with it.
func Input(m Message) (map[string]any, error) {
	user, err := decodeRow(m.User)
	if err != nil {
		return nil, fmt.Errorf("read the user of %s: %w", m.ID, err)
	}
	before, err := decodeRow(m.Before)
	if err != nil {
		return nil, fmt.Errorf("read the user of %s as it was: %w", m.ID, err)
	}
	changed := make([]any, len(m.Changed))
	for i, column := range m.Changed {
		changed[i] = column
	}
	return map[string]any{
		"id": m.ID, "type": m.EventType, "change_id": json.Number(strconv.FormatInt(m.ChangeID, 10)),
		"changed": changed, "user": user, "before": before,
		"project_id": m.ProjectID.String(), "provider": m.Provider, "event_id": m.EventID,
		"event_at": instant(m.EventAt), "changed_at": instant(m.ChangedAt), "test": m.Test,
	}, nil
}

// decodeRow gives nil, as jq wants it, for a row that is not there.
func decodeRow(row json.RawMessage) (any, error) {
	if len(row) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(row))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return value, nil
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// DropEmpty leaves out the members of objects that are null or an empty text, at any depth, and
// objects that hold nothing else: so that what a user does not have overwrites nothing at the other
// side. Lists keep their length. An object that was empty from the start stays. The
// value itself is not changed; ok is false where nothing is left of it.
func DropEmpty(value any) (rest any, ok bool) {
	switch v := value.(type) {
	case nil:
		return nil, false
	case string:
		return v, v != ""
	case map[string]any:
		if len(v) == 0 {
			return v, true
		}
		kept := make(map[string]any, len(v))
		for key, member := range v {
			if rest, ok := DropEmpty(member); ok {
				kept[key] = rest
			}
		}
		return kept, len(kept) > 0
	case []any:
		kept := slices.Clone(v)
		for i, element := range v {
			if _, is := element.(map[string]any); is {
				kept[i], _ = DropEmpty(element)
			}
		}
		return kept, true
	default:
		return value, true
	}
}
