package syncrun_test

import (
	"os"
	"testing"
)

// TestMain is also the worker that TestKilledWorkers kills: the test's own
// program, called with the word work.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "work" {
		os.Exit(work(os.Args[2:]))
	}
	os.Exit(m.Run())
}
