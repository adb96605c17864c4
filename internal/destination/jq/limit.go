package jq

import (
	"runtime/debug"
	"syscall"
)

// maxData is the kernel's memory limit for a worker on Linux: MaxMemory plus room for the Go runtime and
// thread stacks. It stops even a single step that allocates gigabytes.
const maxData = MaxMemory + 256<<20

// limitProcess lowers a worker's resource limits. Where the system lacks a limit or has a lower one, watch
// still enforces ours.
func limitProcess() {
	debug.SetMemoryLimit(MaxMemory * 3 / 4) // collect garbage harder before a run counts as too large
	limits := map[int]uint64{
		syscall.RLIMIT_CORE:  0,
		syscall.RLIMIT_FSIZE: 0,
	}
	if !raceDetector { // its own tables exceed any limit
		limits[syscall.RLIMIT_DATA] = maxData
	}
	for resource, limit := range limits {
		_ = syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit})
	}
}
