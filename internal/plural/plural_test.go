package plural_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/plural"
)

func TestNumbersOfThings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		one  string
		want string
	}{
		{0, "warning", "0 warnings"},
		{1, "warning", "1 warning"},
		{2, "warning", "2 warnings"},
		{1, "delivery", "1 delivery"},
		{3, "delivery", "3 deliveries"},
		{2, "key", "2 keys"},
		{2, "failed event", "2 failed events"},
		{2, "address", "2 addresses"},
		{2, "match", "2 matches"},
		{2, "index", "2 indexes"},
	} {
		require.Equal(t, c.want, plural.Of(c.n, c.one))
	}
	require.Equal(t, "waits", plural.Word(1, "waits", "wait"))
	require.Equal(t, "wait", plural.Word(int64(0), "waits", "wait"))
}
