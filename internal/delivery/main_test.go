package delivery_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/testkit/rapidtest"
)

func TestMain(m *testing.M) {
	if err := rapidtest.Divide(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
