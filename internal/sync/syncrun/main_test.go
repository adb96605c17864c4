package syncrun_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/authsync/authsync/internal/testkit/rapidtest"
)

// TestMain is also the worker that TestKilledWorkers kills: the test's own
// program, called with the word work.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "work" {
		os.Exit(work(os.Args[2:]))
	}
	// A check is a whole history of an account. Four of the five properties are the same one, for each provider and for users alone.
	if err := rapidtest.Divide(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
