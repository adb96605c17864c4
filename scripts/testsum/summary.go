package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// mostTold bounds how many failures are told in full; the others are named.
const mostTold = 12

// result is one test, or a package if test is empty.
type result struct {
	pkg, test string
	action    string // the last one: run, pass, fail, skip
	lines     []string
	partial   string // an output that did not end its line yet
}

type id struct{ pkg, test string }

// summary collects a run.
type summary struct {
	out, log    io.Writer
	results     map[id]*result
	builds      map[string][]string // what the compiler said, by import path
	brokenBuild map[string]string   // package → import path of what did not build
	notes       []string
	notRun      []string // what tests say that they leave out
	failures    int
}

func newSummary(out, log io.Writer) *summary {
	return &summary{
		out: out, log: log,
		results: make(map[id]*result), builds: make(map[string][]string), brokenBuild: make(map[string]string),
	}
}

func (s *summary) note(line string) {
	s.notes = append(s.notes, strings.TrimRight(line, "\n"))
	fmt.Fprint(s.log, line)
}

func (s *summary) take(e event) {
	fmt.Fprint(s.log, e.Output)
	if e.Action == "build-output" {
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], strings.TrimRight(e.Output, "\n"))
		return
	}
	if e.Package == "" {
		return
	}
	key := id{e.Package, e.Test}
	r := s.results[key]
	if r == nil {
		r = &result{pkg: e.Package, test: e.Test}
		s.results[key] = r
	}
	switch e.Action {
	case "output":
		if _, what, found := strings.Cut(e.Output, "NOT RUN: "); found && !slices.Contains(s.notRun, what) {
			s.notRun = append(s.notRun, what)
		}
		r.add(e.Output)
	case "run", "start", "pause", "cont":
		r.action = "run"
	case "pass", "fail", "skip":
		r.action = e.Action
		if e.FailedBuild != "" {
			s.brokenBuild[e.Package] = e.FailedBuild
		}
		s.progress(e, r)
	}
}

// progress prints a line for each package, and one for each test that fails.
func (s *summary) progress(e event, r *result) {
	switch {
	case e.Test != "" && e.Action == "fail":
		fmt.Fprintf(s.out, "--- FAIL: %s %s (%.2fs)\n", short(e.Package), e.Test, e.Elapsed)
	case e.Test == "" && e.Action == "fail":
		fmt.Fprintf(s.out, "FAIL\t%s\t%.1fs\n", short(e.Package), e.Elapsed)
	case e.Test == "" && e.Action == "pass":
		cached := ""
		if slices.ContainsFunc(r.lines, func(line string) bool { return strings.HasSuffix(line, "(cached)") }) {
			cached = " (cached)"
		}
		fmt.Fprintf(s.out, "ok\t%s\t%.1fs%s\n", short(e.Package), e.Elapsed, cached)
	}
}

// add appends output; test2json may cut a line in pieces.
func (r *result) add(output string) {
	text := r.partial + output
	for {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			r.partial = line
			return
		}
		r.lines = append(r.lines, line)
		text = rest
	}
}

// print tells the failures and counts. The last line is what CI reads: a run that failed
// without a test that did, because it was cut short, counts as one.
func (s *summary) print(logFile string, runFailed bool) {
	all := slices.SortedFunc(maps.Values(s.results), func(a, b *result) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
	parents, badParents := make(map[id]bool), make(map[id]bool)
	badPackages := make(map[string]bool)
	for _, r := range all {
		if r.test == "" {
			continue
		}
		if r.action == "run" && slices.ContainsFunc(r.lines, crashes) {
			r.action = "fail" // after a timeout go test leaves it open
		}
		failed := r.action == "fail"
		badPackages[r.pkg] = badPackages[r.pkg] || failed
		for name := r.test; strings.Contains(name, "/"); {
			name = name[:strings.LastIndex(name, "/")]
			parents[id{r.pkg, name}] = true
			badParents[id{r.pkg, name}] = badParents[id{r.pkg, name}] || failed
		}
	}
	passed, failed, skipped := 0, 0, 0
	for _, r := range all {
		key := id{r.pkg, r.test}
		switch {
		case r.test == "" && r.action == "fail" && !badPackages[r.pkg]:
			failed++ // it does not compile, or its process ended badly
			s.tell(r, logFile)
		case r.test == "":
		case r.action == "fail" && !badParents[key]:
			failed++
			s.tell(r, logFile)
		case parents[key]:
		case r.action == "pass":
			passed++
		case r.action == "skip":
			skipped++
		}
	}
	if runFailed && failed == 0 {
		failed++
	}
	for _, line := range s.notes {
		fmt.Fprintln(s.out, line)
	}
	for _, what := range s.notRun {
		fmt.Fprint(s.out, "not run: ", what)
	}
	s.close(all, logFile)
	fmt.Fprintf(s.out, "%d passed, %d failed", passed, failed)
	if skipped > 0 {
		fmt.Fprintf(s.out, ", %d skipped", skipped)
	}
	fmt.Fprintln(s.out)
}

// close names what was only cut short, and where all of the output is.
func (s *summary) close(all []*result, logFile string) {
	var unfinished []string
	for _, r := range all {
		if r.test != "" && r.action == "run" {
			unfinished = append(unfinished, short(r.pkg)+" "+r.test)
		}
	}
	if len(unfinished) > 0 {
		names := strings.Join(unfinished[:min(3, len(unfinished))], ", ")
		fmt.Fprintf(s.out, "\n%d tests did not come to an end: %s\n", len(unfinished), names+more(len(unfinished)-3))
	}
	if s.failures > 0 {
		fmt.Fprintf(s.out, "\nAll of the output: %s\n", logFile)
	}
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// tell prints the cause of one failure.
func (s *summary) tell(r *result, logFile string) {
	s.failures++
	name := short(r.pkg)
	if r.test != "" {
		name += " " + r.test
	}
	if s.failures > mostTold {
		fmt.Fprintf(s.out, "=== FAIL: %s (in %s)\n", name, logFile)
		return
	}
	fmt.Fprintf(s.out, "\n=== FAIL: %s\n", name)
	lines := r.lines
	if r.partial != "" {
		lines = append(slices.Clone(lines), r.partial)
	}
	if build, ok := s.brokenBuild[r.pkg]; ok {
		lines = s.builds[build]
	}
	for _, line := range digest(lines) {
		fmt.Fprintln(s.out, line)
	}
}

// short leaves the module's name away.
func short(pkg string) string { return strings.TrimPrefix(pkg, module+"/") }
