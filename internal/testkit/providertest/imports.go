package providertest

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

// Imports decodes each testdata/users/NAME.json, a user object as the
// provider's API has it, and compares the event with NAME.event.json beside it.
// Words in the name, set off by dots, say more: "whole" is a whole profile,
// "signedin" a source that knows the last sign-in, "clear" sets absent_fields.
func Imports(t *testing.T, importer provider.Importer) {
	t.Helper()
	testdata := os.DirFS("testdata")
	paths, err := fs.Glob(testdata, "users/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := strings.TrimSuffix(path, ".json")
		if strings.HasSuffix(name, ".event") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object, err := fs.ReadFile(testdata, path)
			require.NoError(t, err)
			i := provider.Import{
				RunID: "run", Kind: provider.KindBackfill, FetchedAt: ReceivedAt(), Whole: strings.Contains(name, ".whole"),
			}
			if strings.Contains(name, ".signedin") {
				at := time.Date(2026, 5, 3, 9, 0, 0, 0, time.UTC)
				i.LastSignInAt = &at
			}
			var o provider.Options
			if strings.Contains(name, ".clear") {
				o.AbsentFields = provider.ClearAbsent
			}
			event := importer.DecodeUser(object, i, o)
			RequireValid(t, []provider.Event{event})
			require.Equal(t, "backfill:run", event.ID)
			require.Equal(t, provider.KindBackfill, event.Type)
			require.Equal(t, ReceivedAt(), event.SentAt)
			compare(t, "testdata", name+".event.json", []provider.Event{event})
		})
	}
}
