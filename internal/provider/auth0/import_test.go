package auth0_test

import (
	"testing"

	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestImports(t *testing.T) {
	t.Parallel()
	providertest.Imports(t, auth0.New())
}
