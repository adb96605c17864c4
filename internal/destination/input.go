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

// MessageID returns the message id of a change for a destination, the same for every attempt and replay, in
// every process. It contains no dots, which Standard Webhooks forbids.
func MessageID(destinationID uuid.UUID, changeID int64) string {
	return "msg_" + hex.EncodeToString(destinationID[:]) + "_" + strconv.FormatInt(changeID, 10)
}

// Input returns a message as seen by conditions and mappings. The row is under the name of the record type. Numbers are json.Number, to keep large ones
// exact. Results of expressions may share memory with it.
func Input(m Message) (map[string]any, error) {
	row, err := decodeRow(m.Row)
	if err != nil {
		return nil, fmt.Errorf("read the %s of %s: %w", m.RecordType, m.ID, err)
	}
	before, err := decodeRow(m.Before)
	if err != nil {
		return nil, fmt.Errorf("read the %s of %s as it was: %w", m.RecordType, m.ID, err)
	}
	changed := make([]any, len(m.Changed))
	for i, column := range m.Changed {
		changed[i] = column
	}
	return map[string]any{
		"id": m.ID, "type": m.EventType, "change_id": json.Number(strconv.FormatInt(m.ChangeID, 10)),
		"record_type": string(m.RecordType), "record_id": m.RecordID,
		"changed": changed, string(m.RecordType): row, "before": before,
		"project_id": m.ProjectID.String(), "provider": m.Provider, "event_id": m.EventID,
		"event_at": instant(m.EventAt), "changed_at": instant(m.ChangedAt), "test": m.Test,
	}, nil
}

// decodeRow returns nil for a missing row, as jq needs it.
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

// DropEmpty removes null and empty-string members of objects at any depth, and objects left empty by that, so
// that missing values overwrite nothing. Lists keep their length, and objects that were empty before
// stay. The value itself is not modified; ok is false if nothing is left.
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
