package jq

import (
	"bufio"
	"bytes"
	"cmp"
	"container/list"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/itchyny/gojq"
)

// workerVariable is the environment variable that makes the program a worker, and the only one a worker has.
const workerVariable = "AUTHSYNC_JQ_WORKER"

// Exit statuses of a worker, besides Go's own 2 when out of memory.
const (
	exitEnd    = 0 // end of standard input
	exitMemory = 3
	exitTime   = 4
)

const (
	maxAnswer   = 4 << 20 // total size of the results
	maxCompiled = 256     // expressions that a worker keeps
	// maxKept is the maximum size of their texts, together. What is compiled of one is up to 150 times larger, and is held beside
	// every run of another tenant.
	maxKept    = 128 << 10
	maxFailure = 1000 // bytes of what an expression says of its failure
)

// call is a request to a worker.
type call struct {
	Source    string
	Variables []string
	InputID   uint64
	Input     []byte // JSON; nil: that of the previous call, with the same InputID
	Values    []byte // JSON array of the variables' values
}

// answer is the result of a call.
type answer struct {
	Values  []byte // JSON array
	Failure string // why the expression failed; empty on success
	TooLong bool
}

// A worker is this very program: authsync, or a test that runs expressions. So init must detect it before main
// or any test starts.
func init() { //nolint:gochecknoinits // see above
	if os.Getenv(workerVariable) == "" { //nolint:forbidigo // not a setting
		return
	}
	work(os.Stdin, os.Stdout)
	os.Exit(exitEnd)
}

// work answers calls until in ends. It first reports that it is ready.
func work(in io.Reader, out io.Writer) {
	runtime.GOMAXPROCS(2) // one for the expression, one for the watch
	limitProcess()
	encoder := gob.NewEncoder(out)
	if encoder.Encode(answer{}) != nil {
		return
	}
	calls := make(chan call)
	go func() {
		decoder := gob.NewDecoder(bufio.NewReader(in))
		for {
			var c call
			if decoder.Decode(&c) != nil {
				os.Exit(exitEnd) // nobody waits for the current run
			}
			calls <- c
		}
	}()
	w := worker{compiled: map[string]*list.Element{}, recent: list.New()}
	for c := range calls {
		if encoder.Encode(w.answer(c)) != nil {
			return
		}
	}
}

// worker is the state of a worker process.
type worker struct {
	compiled map[string]*list.Element // by program
	recent   *list.List               // the newest first
	kept     int                      // bytes of their texts
	inputID  uint64
	input    any
}

type program struct {
	key  string
	code *gojq.Code
}

func (w *worker) answer(c call) answer {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	begin, stop := watch(func() { cancel(errTooLong) })
	defer stop()

	if c.Input != nil {
		w.input = nil // two large ones at once would leave no room for a run
		value, err := decode(c.Input)
		if err != nil {
			return answer{Failure: "read the input: " + err.Error()}
		}
		w.input, w.inputID = value, c.InputID
	}
	begin()
	values, err := decode(c.Values)
	list, isList := values.([]any)
	code, compileErr := w.program(c.Source, c.Variables)
	if err := cmp.Or(err, compileErr); err != nil || !isList || c.InputID != w.inputID {
		return answer{Failure: "the call cannot be read"}
	}
	all, err := collect(code.RunWithContext(ctx, w.input, list...))
	var text []byte
	if err == nil {
		text, err = marshalAll(ctx, all)
	}
	switch {
	case err == nil:
		return answer{Values: text}
	case ctx.Err() != nil:
		return answer{TooLong: true}
	default:
		failure := err.Error()
		return answer{Failure: failure[:min(len(failure), maxFailure)]}
	}
}

var errTooLarge = errors.New("it gives more than 4 MiB: choose what is needed")

// errTooDeep is about the expression: encoding/json reads 10,000 levels, and jq builds and writes more. A caller that
// cannot read the answer would take it for a worker's fault, and run the expression again for ever.
var errTooDeep = errors.New("it gives a value that nests deeper than 10000 levels: choose what is needed")

func marshalAll(ctx context.Context, all []any) ([]byte, error) {
	text := []byte{'['}
	for i, value := range all {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if i > 0 {
			text = append(text, ',')
		}
		one, err := gojq.Marshal(value)
		if err != nil {
			return nil, err
		}
		if text = append(text, one...); len(text) > maxAnswer {
			return nil, errTooLarge
		}
	}
	if text = append(text, ']'); !json.Valid(text) {
		return nil, errTooDeep
	}
	return text, nil
}

func (w *worker) program(source string, variables []string) (*gojq.Code, error) {
	key := strings.Join(append([]string{source}, variables...), "\x00")
	if element := w.compiled[key]; element != nil {
		w.recent.MoveToFront(element)
		if p, is := element.Value.(program); is {
			return p.code, nil
		}
	}
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	code, err := compile(query, variables)
	if err != nil {
		return nil, err
	}
	w.compiled[key] = w.recent.PushFront(program{key, code})
	for w.kept += len(key); w.recent.Len() > maxCompiled || w.kept > maxKept; {
		if p, is := w.recent.Remove(w.recent.Back()).(program); is {
			delete(w.compiled, p.key)
			w.kept -= len(p.key)
		}
	}
	return code, nil
}

func decode(text []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}
