package clerk_test

import (
	"testing"

	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestImports(t *testing.T) {
	t.Parallel()
	providertest.Imports(t, clerk.New())
}
