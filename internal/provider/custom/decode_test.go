package custom_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// A number in a unit is not taken for one in another because of its size.
func TestTimesAreInTheirUnit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ unit, at, want string }{
		{"seconds", "1777888000", "2026-05-04T09:46:40Z"},
		{"seconds", "253402300799", "9999-12-31T23:59:59Z"},
		{"milliseconds", "1777888000123", "2026-05-04T09:46:40.123Z"},
		{"milliseconds", "1777890001250", "2026-05-04T10:20:01.25Z"},
		{"milliseconds", `"1777888000"`, "1970-01-21T13:51:28Z"},
		{"", "1777888000123", "2026-05-04T09:46:40.123Z"},
	} {
		definition, err := json.Marshal(map[string]any{
			"signature": map[string]any{"scheme": "bearer"}, "time_unit": tc.unit,
			"types":   map[string]string{"add": "user.created"},
			"records": map[string]any{"user": map[string]string{"id": ".id", "created_at": ".at"}},
		})
		require.NoError(t, err)
		events, err := custom.New("custom:acme").DecodeContext(t.Context(),
			provider.Message{Body: []byte(`{"type":"add","id":"u","at":` + tc.at + `}`), ReceivedAt: providertest.ReceivedAt()},
			provider.Options{Definition: definition})
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.NotNil(t, events[0].Fields[record.CreatedAt], events[0].Reason)
		require.Equal(t, tc.want, *events[0].Fields[record.CreatedAt], tc.unit+" "+tc.at)
	}
}
