package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	module = "github.com/authsync/authsync"

	mostLines = 70  // of one failure
	mostLog   = 15  // of them that were only logged, if there is anything that tells more
	mostBlock = 40  // of one message
	mostRunes = 400 // of one line
)

var (
	entryStart = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)
	frameStart = regexp.MustCompile(`^(` + regexp.QuoteMeta(module) + `\S*|main\.\S*)\(`)
	noise      = regexp.MustCompile(`^(=== (RUN|PAUSE|CONT|NAME)\b|\s*--- (PASS|FAIL|SKIP)|FAIL\s*$|exit status|ok\s)`)
)

// digest chooses of a test's output the lines that tell why it failed, in their order: a
// panic or a data race with the frames that are ours; failed assertions; what rapid drew in
// the smallest case that fails; and, as room allows, the last things that were logged.
func digest(lines []string) []string {
	if i := slices.IndexFunc(lines, crashes); i >= 0 {
		return crash(lines[i:])
	}
	if i := slices.Index(lines, "WARNING: DATA RACE"); i >= 0 {
		return race(lines[i:])
	}
	return clip(choose(entries(lines)), mostLines)
}

func crashes(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "signal: ")
}

// entry is one message of a test, with the lines that continue it.
type entry struct {
	lines []string
	tells bool // that something is wrong, or with what
}

func entries(lines []string) []entry {
	var all []entry
	for _, line := range lines {
		switch {
		case noise.MatchString(line):
			continue
		case len(all) == 0 || entryStart.MatchString(line):
			all = append(all, entry{lines: []string{line}})
		default:
			last := &all[len(all)-1]
			last.lines = append(last.lines, line)
		}
	}
	for i := range all {
		all[i].tells = slices.ContainsFunc(all[i].lines, func(line string) bool {
			return strings.Contains(line, "Error Trace:") || strings.Contains(line, "[rapid] ")
		})
	}
	return all
}

// choose keeps what tells, and fills up with the rest from the end: there is what came last.
func choose(all []entry) []string {
	chosen := make([][]string, len(all))
	room := mostLines
	for _, tells := range []bool{true, false} {
		if !tells && room < mostLines {
			room = min(room, mostLog)
		}
		for i := len(all) - 1; i >= 0 && room > 0; i-- {
			if all[i].tells == tells {
				chosen[i] = clip(all[i].lines, min(mostBlock, room))
				room -= len(chosen[i])
			}
		}
	}
	return slices.Concat(chosen...)
}

// crash keeps the message of a panic and where in our code each goroutine was. After a
// timeout the message names the tests that ran.
func crash(lines []string) []string {
	end := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "goroutine ") })
	if end < 0 {
		return clip(lines, mostLines)
	}
	told := clip(lines[:end], mostBlock)
	seen := make(map[string]bool)
	for _, goroutine := range split(lines[end:]) {
		frames := ours(goroutine, 6)
		if place := strings.Join(frames, "\n"); len(frames) > 0 && !seen[place] {
			seen[place] = true
			told = append(append(told, goroutine[0]), frames...)
		}
	}
	return clip(told, mostLines)
}

// split cuts a dump of goroutines at empty lines.
func split(lines []string) [][]string {
	var all [][]string
	for len(lines) > 0 {
		end := slices.Index(lines, "")
		if end < 0 {
			return append(all, lines)
		}
		if end > 0 {
			all = append(all, lines[:end])
		}
		lines = lines[end+1:]
	}
	return all
}

// ours returns the frames of a stack that are in this module, at most n.
func ours(stack []string, n int) []string {
	var frames []string
	for i := 0; i+1 < len(stack) && len(frames) < 2*n; i++ {
		if frameStart.MatchString(strings.TrimSpace(stack[i])) && !strings.Contains(stack[i+1], "_testmain.go") {
			frames = append(frames, stack[i], stack[i+1])
			i++
		}
	}
	return frames
}

// race keeps the first data race: its headings and our frames below each.
func race(lines []string) []string {
	if end := slices.Index(lines, "=================="); end >= 0 {
		lines = lines[:end]
	}
	told := []string{lines[0]}
	for _, part := range split(lines[1:]) {
		told = append(append(told, part[0]), ours(part, 4)...)
	}
	return clip(told, mostLines)
}

// clip shortens lines, and leaves the middle out if there are too many.
func clip(lines []string, most int) []string {
	short := make([]string, 0, min(len(lines), most+1))
	for i, line := range lines {
		if len(lines) > most && i == most/2 {
			short = append(short, fmt.Sprintf("        … %d lines are left out …", len(lines)-most+1))
		}
		if len(lines) > most && i >= most/2 && i < len(lines)-(most-most/2)+1 {
			continue
		}
		if utf8.RuneCountInString(line) > mostRunes {
			line = string([]rune(line)[:mostRunes]) + "…"
		}
		short = append(short, line)
	}
	return short
}
