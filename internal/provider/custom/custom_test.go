package custom_test

import (
	"os"
	"testing"

	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestMain(m *testing.M) { os.Exit(providertest.Main(m)) }
