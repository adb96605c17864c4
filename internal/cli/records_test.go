package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/record"
)

func TestTablesOfRecordsShowColumnsThatThereAre(t *testing.T) {
	t.Parallel()
	for _, d := range record.Types() {
		require.Subset(t, d.Row(), listedColumns(d.Type), d.Type)
	}
}
