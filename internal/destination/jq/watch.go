package jq

import (
	"os"
	"runtime/metrics"
	"syscall"
	"time"
)

const (
	watchEvery = 2 * time.Millisecond
	// wallTime ends a run that uses no processor time either. It is long, because the machine may be busy with others.
	wallTime = 10 * time.Second
)

// watch looks after a run until the function that it returns is called. Past MaxTime of processor
// time it calls tooLong, which ends the run between two steps. A step that goes on for as long again, and one
// that fills the memory, ends the process: nothing else can stop it.
func watch(tooLong func()) (stop func()) {
	done := make(chan struct{})
	cpu, wall := cpuTime(), time.Now()
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
			used := cpuTime() - cpu
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
	return func() { close(done) }
}

// cpuTime is the processor time that the process has had. Unlike the time on the wall it says nothing of what
// else the machine does.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // which cannot be; wallTime is left
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
