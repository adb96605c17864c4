// Command testsum runs go test and ends with what failed and why, so that the last lines
// of a long run say what to do:
//
//	testsum LOG go test [ARGUMENT…]
//
// While the tests run it prints one line a package. Their whole output goes to the file
// LOG. At the end it prints of each failed test the lines that tell the cause, what tests
// say that they leave out ("NOT RUN: …"), and closes with "N passed, N failed". Its exit
// status is that of go test.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	status, err := run(context.Background(), os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

func run(ctx context.Context, out io.Writer, args []string) (status int, err error) {
	if len(args) < 3 || args[1] != "go" || args[2] != "test" {
		return 0, errors.New("usage: testsum LOG go test [ARGUMENT…]")
	}
	if err := os.MkdirAll(filepath.Dir(args[0]), 0o750); err != nil {
		return 0, fmt.Errorf("keep the output of the tests: %w", err)
	}
	log, err := os.Create(args[0])
	if err != nil {
		return 0, fmt.Errorf("keep the output of the tests: %w", err)
	}
	// A Ctrl-C reaches go test too, which ends; what there is by then is summed up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-json"}, args[3:])...)
	cmd.Stderr = io.MultiWriter(os.Stderr, log)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run go test: %w", err)
	}
	s := newSummary(out, log)
	readErr := s.read(stdout)
	waitErr := cmd.Wait()
	exit, failed := errors.AsType[*exec.ExitError](waitErr)
	if failed && exit.ExitCode() < 0 {
		s.note(fmt.Sprintf("go test was ended from outside: %v\n", exit))
	}
	s.print(args[0], failed)
	if failed {
		return max(1, exit.ExitCode()), errors.Join(readErr, log.Close())
	}
	return 0, errors.Join(readErr, waitErr, log.Close())
}

// event is one line of go test -json: go doc test2json.
type event struct {
	Action      string  `json:"Action"`
	Package     string  `json:"Package"`
	ImportPath  string  `json:"ImportPath"` // of what is built
	Test        string  `json:"Test"`
	Output      string  `json:"Output"`
	Elapsed     float64 `json:"Elapsed"`
	FailedBuild string  `json:"FailedBuild"`
}

// read takes the events of a run until its end.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				s.take(e)
			} else { // go itself speaks, of a wrong flag for example
				s.note(string(line))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
	}
}
