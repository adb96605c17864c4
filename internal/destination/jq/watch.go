package jq

import (
	"math"
	"os"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	watchEvery = 2 * time.Millisecond
	// wallTime ends a run that uses no CPU time. It is long because the machine may be busy.
	wallTime = slowdown * 10 * time.Second
)

// watch monitors a call until stop is called. From begin on it counts CPU time, so that reading the input, whose size others
// decide, is not the expression's. Past MaxTime it calls tooLong, which ends the run between two steps. A step that
// continues for as long again, or fills the memory, ends the process: nothing else can stop it.
func watch(tooLong func()) (begin, stop func()) {
	done := make(chan struct{})
	wall := time.Now()
	var begun atomic.Int64 // CPU time
	begun.Store(math.MaxInt64)
	go func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			used := cpuTime() - time.Duration(begun.Load())
			switch metrics.Read(heap); {
			case heap[0].Value.Uint64() > MaxMemory:
				os.Exit(exitMemory)
			case used > 2*MaxTime || time.Since(wall) > wallTime:
				os.Exit(exitTime)
			case used > MaxTime:
				tooLong()
			}
		}
	}()
	return func() { begun.Store(int64(cpuTime())) }, func() { close(done) }
}

// cpuTime returns the CPU time of the process, which does not depend on the load of the machine.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // cannot happen; wallTime still applies
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
