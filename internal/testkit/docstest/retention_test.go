package docstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
)

func TestRetention(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/retention.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			return clerk(t, demoprovider.NewAccount(1))
		},
		end: func(s *scene) {
			require.Regexp(s.t, `(?m)^changes +90 days +the project$`, s.last("SIGNING SECRETS"))
			require.Regexp(s.t, `(?m)^inbox +30 days +the server's default$`, s.last("the server's default"))
		},
	}.run(t)
}
