package jq

import (
	"runtime/debug"
	"syscall"
)

// maxData is how much memory the kernel gives a worker on Linux: MaxMemory, with room for the Go runtime
// and the stacks of its threads. It holds at once where one step asks for gigabytes.
const maxData = MaxMemory + 256<<20

// limitProcess takes from a worker what no expression needs. A limit that the system does not have, or that is
// lower already, leaves that which watch enforces.
func limitProcess() {
	debug.SetMemoryLimit(MaxMemory * 3 / 4) // collects garbage more eagerly before a run counts as too large
	limits := map[int]uint64{
		syscall.RLIMIT_CORE:  0,
		syscall.RLIMIT_FSIZE: 0,
	}
	if !raceDetector { // whose own tables are larger than any limit
		limits[syscall.RLIMIT_DATA] = maxData
	}
	for resource, limit := range limits {
		_ = syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit})
	}
}
