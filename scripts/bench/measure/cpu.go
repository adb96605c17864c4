package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticks is the unit of /proc/PID/stat on Linux, whatever the kernel's own: USER_HZ, see proc(5).
const ticks = time.Second / 100

// cpuTime is what this process and PostgreSQL have used of the processors so
// far. Unlike a rate it says the same on a busy machine. It is 0 where the system
// does not tell.
func (e *environment) cpuTime() time.Duration {
	postmaster := e.server.PID()
	total := processTime(os.Getpid(), false) + processTime(postmaster, true)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if fields := procStat(pid); len(fields) > 1 && fields[1] == strconv.Itoa(postmaster) {
			total += processTime(pid, false)
		}
	}
	return total
}

// processTime is the time of a process, with that of its children that ended if ended is set.
func processTime(pid int, ended bool) time.Duration {
	fields := procStat(pid)
	if len(fields) < 15 {
		return 0
	}
	own, children := fields[11:13], fields[13:15]
	if ended {
		own = append(own[:2:2], children...)
	}
	var sum time.Duration
	for _, field := range own {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * ticks
	}
	return sum
}

// procStat returns the fields of /proc/PID/stat from the third on, the state:
// the second, the program's name, may hold anything.
func procStat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}
