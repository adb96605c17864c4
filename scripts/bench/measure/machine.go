package measure

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// describeMachine says in a line what the numbers were measured on.
func describeMachine(ctx context.Context, e *environment) string {
	var version string
	if err := e.pool.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&version); err != nil {
		version = "of unknown version"
	}
	cpu := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores; %s; PostgreSQL %s with fsync on (%s); server, load and PostgreSQL share the cores",
		cpu, runtime.NumCPU(), runtime.Version(), version, syncTime(e.server.Dir()))
}

// syncTime measures how long a small write takes to reach the disk.
func syncTime(dir string) string {
	file, err := os.CreateTemp(filepath.Dir(dir), "authsync-bench-*")
	if err != nil {
		return "time of a sync unknown"
	}
	defer os.Remove(file.Name())
	defer file.Close()
	const times = 50
	page := make([]byte, 8192)
	begun := time.Now()
	for i := range times {
		_, err := file.WriteAt(page, int64(i%4)*8192)
		if err == nil {
			err = file.Sync()
		}
		if err != nil {
			return "time of a sync unknown"
		}
	}
	return fmt.Sprintf("a sync takes %.2f ms", time.Since(begun).Seconds()*1000/times)
}

// residentMemory is what this process, the load generator included, holds in
// memory, in kB; 0 where the system does not tell.
func residentMemory() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err == nil {
				return kb
			}
		}
	}
	return 0
}
