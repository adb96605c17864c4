package betterauth_test

import (
	"testing"

	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestImports(t *testing.T) {
	t.Parallel()
	providertest.Imports(t, betterauth.New())
}
