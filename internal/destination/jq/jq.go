// Package jq runs the expressions with which a person selects changes and shapes what is
// sent: jq as gojq has it, with no way out of the expression. There is no environment, no
// file, no module, no clock; the same change always gives the same result, so that an
// attempt that is repeated under the same id says the same.
//
// An expression is compiled when it is stored, where a person can still mend it, and has
// bounds when it runs: MaxTime, MaxOutputs, MaxBytes. Time is looked at between two steps of
// the expression, which bounds what a loop can do. One step alone can still build a large value.
package jq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// The bounds of an expression.
const (
	MaxSource  = 16 << 10               // bytes of its text
	MaxTime    = 100 * time.Millisecond // of one run
	MaxOutputs = 1000                   // values that one run gives
	MaxBytes   = 1 << 20                // of one value, as JSON
)

// SourceError says why an expression cannot be taken, and where.
type SourceError struct{ Detail string }

func (e *SourceError) Error() string { return e.Detail }

// RunError says why an expression failed on a value.
type RunError struct{ Detail string }

func (e *RunError) Error() string { return e.Detail }

// prelude is what expressions may call beside jq's own functions.
//
//	if_changed(.email)  the user's e-mail where the change gave it another value, else null
const prelude = `def if_changed(f): . as $m | ($m.user | f) as $new |
	if $m.before == null or (($m.before | f) != $new) then $new else null end;`

// absent are jq functions that would give another result at another time or place.
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
	name    string
	code    *gojq.Code
	found   found
	maxTime time.Duration
}

// Compile checks an expression and makes it ready to run. Name is where it stands, such as
// options.payload, for errors; variables are the names it may use, with their $. The
// error is a *SourceError.
func Compile(name, source string, variables ...string) (*Expression, error) {
	if strings.TrimSpace(source) == "" {
		return nil, &SourceError{name + " is empty: give a jq expression, such as .user.email, or leave it out"}
	}
	if len(source) > MaxSource {
		return nil, &SourceError{fmt.Sprintf("%s is %d bytes long: an expression has at most %d", name, len(source), MaxSource)}
	}
	if !utf8.ValidString(source) {
		return nil, &SourceError{name + " is no valid UTF-8 text: write it anew"}
	}
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, &SourceError{name + " is no jq expression: " + where(source, err)}
	}
	found := look(query)
	if found.modules {
		return nil, &SourceError{name + " imports a module, and there are none: write its functions into the expression"}
	}
	for _, call := range found.calls {
		if instead, is := absent(call); is && !found.defined[call] {
			return nil, &SourceError{fmt.Sprintf("%s uses %s, which is not there: %s", name, call, instead)}
		}
	}
	own, err := gojq.Parse(prelude + " .")
	if err != nil {
		return nil, fmt.Errorf("parse the prelude: %w", err)
	}
	query.FuncDefs = append(own.FuncDefs, query.FuncDefs...)
	code, err := gojq.Compile(query, gojq.WithVariables(variables))
	if err != nil {
		return nil, &SourceError{fmt.Sprintf("%s cannot work: %s%s", name, err, known(err, variables))}
	}
	return &Expression{name: name, code: code, found: found, maxTime: MaxTime}, nil
}

// where says at which place of the text parsing ended.
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

// known names the variables there are, where one was not found.
func known(err error, variables []string) string {
	if !strings.HasPrefix(err.Error(), "variable not defined") {
		return ""
	}
	if len(variables) == 0 {
		return ". There are no variables here; the change is the input, as in .user.email"
	}
	return ". There is " + strings.Join(variables, ", ")
}

// Fields lists the keys of a variable that the expression names, such as token for
// $secrets.token. Whole is true if it uses the variable in another way as well.
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

// All runs the expression on a value as encoding/json decodes it (numbers may be
// json.Number) and returns all values that it gives, which may share parts with the input: neither
// may be changed. Values are those of the variables. The error is a *RunError.
func (e *Expression) All(ctx context.Context, input any, values ...any) ([]any, error) {
	why := &RunError{fmt.Sprintf("%s took longer than %s: let it do less", e.name, e.maxTime)}
	ctx, cancel := context.WithTimeoutCause(ctx, e.maxTime, why)
	defer cancel()
	var all []any
	for iter := e.code.RunWithContext(ctx, input, values...); ; {
		value, more := iter.Next()
		if !more {
			return all, nil
		}
		if err, is := value.(error); is {
			return nil, e.failed(ctx, err)
		}
		if len(all) == MaxOutputs {
			return nil, &RunError{fmt.Sprintf("%s gives more than %d values", e.name, MaxOutputs)}
		}
		all = append(all, value)
	}
}

func (e *Expression) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		var own *RunError
		if cause := context.Cause(ctx); errors.As(cause, &own) {
			return own
		}
		return &RunError{e.name + " was stopped before it was done"}
	}
	return &RunError{fmt.Sprintf("%s fails on this change: %.300s", e.name, strings.ToValidUTF8(err.Error(), "?"))}
}

// One runs the expression and returns the one value that it gives; ok is false where it gives none (empty).
func (e *Expression) One(ctx context.Context, input any, values ...any) (value any, ok bool, err error) {
	all, err := e.All(ctx, input, values...)
	switch {
	case err != nil:
		return nil, false, err
	case len(all) == 0:
		return nil, false, nil
	case len(all) > 1:
		return nil, false, &RunError{fmt.Sprintf("%s gives %d values where one is wanted: put it in [ ] to make one of them, or choose with first( )", e.name, len(all))}
	}
	return all[0], true, nil
}

// True runs the expression as a condition: it must give one value, true or false; null is false, and so is none.
func (e *Expression) True(ctx context.Context, input any) (bool, error) {
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
		return false, &RunError{fmt.Sprintf("%s gives %s where true or false is wanted: compare, as in .user.email != null", e.name, gojq.TypeOf(value))}
	}
}

// Marshal writes a value that an expression gave as JSON, keys in order of their names.
// The error is a *RunError if it is too large.
func (e *Expression) Marshal(value any) (json.RawMessage, error) {
	text, err := gojq.Marshal(value)
	if err != nil {
		return nil, &RunError{e.name + " gives what is no JSON"}
	}
	if len(text) > MaxBytes {
		return nil, &RunError{fmt.Sprintf("%s gives %d bytes: at most %d are sent", e.name, len(text), MaxBytes)}
	}
	return text, nil
}
