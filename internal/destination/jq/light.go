package jq

import "github.com/itchyny/gojq"

// Limits for expressions run in this process: each operand may be as large as the input.
const (
	maxLightTerms = 32
	maxLightParts = 8  // of a text with variables in it
	maxLightDigit = 20 // in a number literal
)

// light reports whether an expression only looks up and compares values of the input: paths, constants,
// comparisons, and, or, not, //, if_changed(path), and strings with members of variables in them. Such an
// expression builds nothing and has no loop, so each step costs at most the size of the input.
func light(query *gojq.Query) bool {
	left := maxLightTerms
	return lightQuery(query, &left)
}

func lightQuery(q *gojq.Query, left *int) bool {
	if q == nil || q.Meta != nil || len(q.Imports) > 0 || len(q.FuncDefs) > 0 || len(q.Patterns) > 0 {
		return false
	}
	if *left--; *left < 0 {
		return false
	}
	if q.Term != nil {
		return lightTerm(q.Term, left)
	}
	switch q.Op {
	case gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe, gojq.OpAnd, gojq.OpOr, gojq.OpAlt, gojq.OpPipe:
		return lightQuery(q.Left, left) && lightQuery(q.Right, left)
	default:
		return false
	}
}

func lightTerm(t *gojq.Term, left *int) bool {
	for _, suffix := range t.SuffixList {
		if suffix.Iter || suffix.Index != nil && !byName(suffix.Index) {
			return false
		}
	}
	switch t.Type {
	case gojq.TermTypeIdentity, gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse:
		return true
	case gojq.TermTypeNumber:
		return len(t.Number) <= maxLightDigit
	case gojq.TermTypeString:
		return lightText(t.Str)
	case gojq.TermTypeIndex:
		return byName(t.Index)
	case gojq.TermTypeQuery:
		return lightQuery(t.Query, left)
	case gojq.TermTypeFunc:
		return lightCall(t.Func, left)
	default:
		return false
	}
}

func lightCall(f *gojq.Func, left *int) bool {
	switch {
	case len(f.Args) == 0:
		return f.Name == "not" || f.Name[0] == '$'
	case f.Name == "if_changed" && len(f.Args) == 1:
		return lightQuery(f.Args[0], left)
	default:
		return false
	}
}

// lightText accepts members of variables: they are secrets, which are short.
func lightText(text *gojq.String) bool {
	if len(text.Queries) > 2*maxLightParts {
		return false
	}
	for _, q := range text.Queries {
		if q.Term == nil || q.Op != 0 || len(q.FuncDefs) > 0 {
			return false
		}
		constant := q.Term.Type == gojq.TermTypeString && len(q.Term.Str.Queries) == 0 && len(q.Term.SuffixList) == 0
		if !constant && !memberOfVariable(q.Term) {
			return false
		}
	}
	return true
}

func memberOfVariable(t *gojq.Term) bool {
	return t.Type == gojq.TermTypeFunc && len(t.Func.Args) == 0 && t.Func.Name[0] == '$' &&
		len(t.SuffixList) == 1 && t.SuffixList[0].Index != nil && byName(t.SuffixList[0].Index)
}

// byName matches .name, ."name" and ["name"].
func byName(index *gojq.Index) bool {
	return index.Name != "" || index.Str != nil && len(index.Str.Queries) == 0 || isText(index)
}
