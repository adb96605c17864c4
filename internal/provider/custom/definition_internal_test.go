package custom

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/record"
)

func TestEveryFieldOfARecordTypeCanBeDecoded(t *testing.T) {
	t.Parallel()
	for _, d := range record.Types() {
		fields, required := fieldsOf(d.Type)
		require.Equal(t, d.Key, fields[:required])
		for _, name := range fields {
			require.Contains(t, fieldNames(), name, d.Type)
		}
	}
}
