package jq

import (
	"reflect"
	"strings"

	"github.com/itchyny/gojq"
)

// found holds the relevant parts of an expression.
type found struct {
	calls   []string            // functions and variables that it uses
	defined map[string]bool     // functions that it defines itself
	fields  map[string][]string // keys used, by variable
	modules bool
}

// look walks a parsed expression. gojq's syntax tree has some twenty types, nested in many ways, of which only
// five matter here; reflection finds them.
func look(query *gojq.Query) found {
	f := found{defined: map[string]bool{}, fields: map[string][]string{}}
	f.walk(reflect.ValueOf(query))
	return f
}

func (f *found) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			f.note(v.Interface())
			f.walk(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			f.walk(field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			f.walk(v.Index(i))
		}
	default:
	}
}

func (f *found) note(node any) {
	switch n := node.(type) {
	case *gojq.Import:
		f.modules = true
	case *gojq.Func:
		f.calls = append(f.calls, n.Name)
	case *gojq.ObjectKeyVal: // {$name} is {name: $name}
		if strings.HasPrefix(n.Key, "$") {
			f.calls = append(f.calls, n.Key)
		}
	case *gojq.FuncDef:
		f.defined[n.Name] = true
	case *gojq.Term:
		if n.Func == nil || len(n.SuffixList) == 0 || n.SuffixList[0].Index == nil {
			return
		}
		index, name := n.SuffixList[0].Index, n.Func.Name
		switch text := index.Str; {
		case index.Name != "":
			f.fields[name] = append(f.fields[name], index.Name)
		case text != nil && text.Queries == nil: // $name."key"
			f.fields[name] = append(f.fields[name], text.Str)
		case isText(index): // $name["key"]
			f.fields[name] = append(f.fields[name], index.Start.Term.Str.Str)
		}
	}
}

func isText(index *gojq.Index) bool {
	if index.IsSlice || index.Start == nil || index.Start.Term == nil {
		return false
	}
	term := index.Start.Term
	return term.Type == gojq.TermTypeString && term.Str != nil && term.Str.Queries == nil && len(term.SuffixList) == 0
}
