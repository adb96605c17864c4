// Package jq runs the expressions that select changes and shape requests: jq as implemented by gojq,
// sandboxed. There is no environment, no file, no module and no clock; the same change always gives the same
// result, so repeated attempts with the same id send the same message.
//
// Expressions are compiled when they are stored, so that mistakes are reported to the user, and limited when
// they run: MaxTime, MaxMemory, MaxOutputs, MaxBytes. They are untrusted, and a single step of jq can
// allocate gigabytes or never end. So an expression that does more than look up and compare values
// runs in a child process, which is this same program again (see work):
//
//	Expression.All ──light──▶ in this process: paths, comparisons, and, or
//	       │
//	       └──▶ pool ──pipe──▶ worker: no environment, no files; exits past MaxTime of
//	                           CPU time or past MaxMemory, and is replaced for the next run
//
// A worker that dies takes one run with it and nothing else. If an expression has cost MaxKills workers
// within an hour, or has used all of its time MaxSlow times, its error says so (RunError.Halt), so that
// its destination can be paused.
package jq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/authsync/authsync/internal/fault"
)

// Limits of an expression.
const (
	MaxSource  = 16 << 10               // bytes of its text
	MaxTime    = 100 * time.Millisecond // CPU time of one run in a worker
	MaxMemory  = 128 << 20              // bytes of a worker's heap
	MaxOutputs = 1000                   // values that one run gives
	MaxBytes   = 1 << 20                // of one value, as JSON
	MaxKills   = 3                      // workers that an expression may cost within an hour
	MaxSlow    = 30                     // runs of an expression that may take MaxTime within an hour
)

const killsWithin = time.Hour

// RunError means that an expression failed on a value.
type RunError struct {
	Detail string
	// Halt means that the expression has cost MaxKills workers within an hour, or has used all of its time
	// MaxSlow times. It should not run again until a user has changed it.
	Halt bool
}

func (e *RunError) Error() string { return e.Detail }

// UnavailableError means that no worker was available, or that the caller stopped the run. It is not about the
// expression: try again later.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "run a jq expression: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// prelude defines functions in addition to jq's own.
//
//	if_changed(.email)  the record's e-mail if the change modified it, otherwise null
const prelude = `def if_changed(f): . as $m | ($m[$m.record_type] | f) as $new |
	if $m.before == null or (($m.before | f) != $new) then $new else null end;`

// absent reports whether a jq function is unavailable, because its result could change with time or place, and
// what to use instead.
func absent(name string) (instead string, is bool) {
	switch name {
	case "now":
		return "take .changed_at or .event_at", true
	case "localtime", "strflocaltime":
		return "take gmtime or strftime, which don't depend on where authsync runs", true
	case "input", "inputs", "input_filename", "input_line_number", "env", "$ENV", "get_search_list", "halt", "halt_error", "debug", "stderr":
		return "an expression sees the change and nothing else", true
	default:
		return "", false
	}
}

// Expression is a compiled expression. It is safe for concurrent use.
type Expression struct {
	name      string
	source    string
	variables []string
	found     found
	code      *gojq.Code    // nil: not light, a worker runs it
	turn      chan struct{} // limits an expression to one worker at a time

	mu    sync.Mutex
	kills []time.Time
	slow  []time.Time
}

// Compile compiles an expression. name is its location for errors, such as options.payload; variables are the
// variables it may use, with their $. It returns a fault.Invalid.
func Compile(name, source string, variables ...string) (*Expression, error) {
	if strings.TrimSpace(source) == "" {
		return nil, fault.New(fault.Invalid, name+" is empty: give a jq expression, such as .user.email, or leave it out")
	}
	if len(source) > MaxSource {
		return nil, fault.Newf(fault.Invalid, "%s is %d bytes long: an expression has at most %d", name, len(source), MaxSource)
	}
	if !utf8.ValidString(source) {
		return nil, fault.New(fault.Invalid, name+" is no valid UTF-8 text: write it anew")
	}
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, fault.New(fault.Invalid, name+" is no jq expression: "+where(source, err))
	}
	found := look(query)
	if found.modules {
		return nil, fault.New(fault.Invalid, name+" imports a module, and there are none: write its functions into the expression")
	}
	for _, call := range found.calls {
		if instead, is := absent(call); is && !found.defined[call] {
			return nil, fault.Newf(fault.Invalid, "%s uses %s, which is not there: %s", name, call, instead)
		}
	}
	e := &Expression{name: name, source: source, variables: variables, found: found, turn: make(chan struct{}, 1)}
	isLight := light(query)
	code, err := compile(query, variables)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "%s cannot work: %s%s", name, err, known(err, variables))
	}
	if isLight {
		e.code = code
	}
	return e, nil
}

// compile compiles a query with the prelude.
func compile(query *gojq.Query, variables []string) (*gojq.Code, error) {
	own, err := gojq.Parse(prelude + " .")
	if err != nil {
		return nil, fmt.Errorf("parse the prelude: %w", err)
	}
	query.FuncDefs = append(own.FuncDefs, query.FuncDefs...)
	return gojq.Compile(query, gojq.WithVariables(variables))
}

// where describes the position of a parse error.
func where(source string, err error) string {
	var parse *gojq.ParseError
	if !errors.As(err, &parse) {
		return err.Error()
	}
	before := source[:min(max(parse.Offset-len(parse.Token), 0), len(source))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	if parse.Token == "" {
		return fmt.Sprintf("it ends too early, after line %d, character %d: a bracket, a quote or an end is missing", line, column)
	}
	return fmt.Sprintf("at line %d, character %d: %s", line, column, err)
}

// known lists the available variables for an unknown one.
func known(err error, variables []string) string {
	if !strings.HasPrefix(err.Error(), "variable not defined") {
		return ""
	}
	if len(variables) == 0 {
		return ". There are no variables here; the change is the input, as in .user.email"
	}
	return ". There is " + strings.Join(variables, ", ")
}

// Fields returns the keys of a variable that the expression uses, such as token for $secrets.token. whole is
// true if it also uses the variable in another way.
func (e *Expression) Fields(variable string) (keys []string, whole bool) {
	keys = e.found.fields[variable]
	uses := 0
	for _, call := range e.found.calls {
		if call == variable {
			uses++
		}
	}
	return keys, uses > len(keys)
}

// All runs the expression on a value and returns all results, as decoded by encoding/json with UseNumber. They
// may share memory with the input: neither may be modified. values are those of the variables. It returns a
// *RunError or an *UnavailableError.
func (e *Expression) All(ctx context.Context, input *Input, values ...any) ([]any, error) {
	if e.code != nil {
		all, err := collect(e.code.RunWithContext(ctx, input.value, values...))
		switch {
		case err == nil:
			return all, nil
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil, e.stopped()
		default:
			return nil, e.fails(err.Error())
		}
	}
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, e.stopped()
	}
	return e.inWorker(ctx, input, values)
}

var (
	errTooLong = errors.New("took too long")
	errTooMany = fmt.Errorf("gives more than %d values", MaxOutputs)
)

// collect returns the results of a run. The error comes from the expression or the context, or is errTooMany.
func collect(run gojq.Iter) (all []any, err error) {
	for {
		value, more := run.Next()
		if !more {
			return all, nil
		}
		if err, is := value.(error); is {
			return nil, err
		}
		if len(all) == MaxOutputs {
			return nil, errTooMany
		}
		all = append(all, value)
	}
}

func (e *Expression) fails(why string) error {
	if why == errTooMany.Error() {
		return &RunError{Detail: e.name + " " + why}
	}
	return &RunError{Detail: fmt.Sprintf("%s fails on this change: %.300s", e.name, strings.ToValidUTF8(why, "?"))}
}

func (e *Expression) tookTooLong() *RunError {
	return &RunError{Detail: fmt.Sprintf("%s took longer than %s: let it do less", e.name, MaxTime)}
}

func (e *Expression) stopped() error {
	return &UnavailableError{errors.New(e.name + " was stopped before it was done")}
}

// killed records that the expression has cost a worker.
func (e *Expression) killed(why *RunError, now time.Time) error {
	return e.costs(&e.kills, MaxKills, "it has been ended by force", why, now)
}

// wasSlow records that a run has used all of its time.
func (e *Expression) wasSlow(now time.Time) error {
	return e.costs(&e.slow, MaxSlow, "it has taken all its time", e.tookTooLong(), now)
}

func (e *Expression) costs(times *[]time.Time, most int, what string, why *RunError, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	*times = append(slices.DeleteFunc(*times, func(at time.Time) bool { return now.Sub(at) > killsWithin }), now)
	if len(*times) >= most {
		*times = nil // resuming the destination allows as many again
		why.Halt = true
		why.Detail += fmt.Sprintf(" (%s %d times within an hour)", what, most)
	}
	return why
}

// One runs the expression and returns its only result; ok is false if there is none (empty).
func (e *Expression) One(ctx context.Context, input *Input, values ...any) (value any, ok bool, err error) {
	all, err := e.All(ctx, input, values...)
	switch {
	case err != nil:
		return nil, false, err
	case len(all) == 0:
		return nil, false, nil
	case len(all) > 1:
		return nil, false, &RunError{Detail: fmt.Sprintf("%s gives %d values where one is wanted: put it in [ ] to make one of them, or choose with first( )", e.name, len(all))}
	}
	return all[0], true, nil
}

// True runs the expression as a condition: it must yield one boolean; null and no result count as false.
func (e *Expression) True(ctx context.Context, input *Input) (bool, error) {
	value, _, err := e.One(ctx, input)
	if err != nil {
		return false, err
	}
	switch v := value.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	default:
		return false, &RunError{Detail: fmt.Sprintf("%s gives %s where true or false is wanted: compare, as in .user.email != null", e.name, gojq.TypeOf(value))}
	}
}

// Marshal encodes a result as JSON with sorted keys. It returns a *RunError if it is too large.
func (e *Expression) Marshal(value any) (json.RawMessage, error) {
	text, err := gojq.Marshal(value)
	if err != nil {
		return nil, &RunError{Detail: e.name + " gives what is no JSON"}
	}
	if len(text) > MaxBytes {
		return nil, &RunError{Detail: fmt.Sprintf("%s gives %d bytes: at most %d are sent", e.name, len(text), MaxBytes)}
	}
	return text, nil
}
