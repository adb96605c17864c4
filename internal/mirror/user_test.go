package mirror_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
)

// User is decoded from a row as JSON, where a column that it does not name would be lost.
func TestUserNamesTheColumnsOfItsTable(t *testing.T) {
	t.Parallel()
	d, _ := record.Of(record.User)
	var named []string
	for field := range reflect.TypeFor[mirror.User]().Fields() {
		named = append(named, field.Tag.Get("json"))
	}
	require.Equal(t, append(d.Row(), "provider", "last_event_processed", "placeholder_since"), named)
}
