package http

import (
	"context"
	"errors"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

const (
	open  = "{{"
	shut  = "}}"
	usage = "; an expression in it stands in {{ }}, such as {{ .user.id }}"
)

// template is a string with embedded expressions.
type template struct {
	name  string
	parts []part
}

// part is literal text or an expression.
type part struct {
	text string
	expr *jq.Expression
	// secret is set if the expression uses secrets: its value and errors are not shown.
	secret bool
}

// compileExpr compiles an expression; the secrets it uses must exist. It returns a fault.Invalid.
func compileExpr(name, source string, secrets map[string]any) (expr *jq.Expression, secret bool, err error) {
	expr, err = jq.Compile(name, source, secretsName)
	if err != nil {
		return nil, false, err
	}
	used, whole := expr.Fields(secretsName)
	if whole {
		return nil, false, fault.New(fault.Invalid, name+" uses $secrets as a whole: name the one that is meant, such as $secrets.token")
	}
	for _, key := range used {
		if _, is := secrets[key]; !is {
			return nil, false, fault.Newf(fault.Invalid, "%s uses $secrets.%s, and there is no secret of this name: give it under secrets, too", name, key)
		}
	}
	return expr, len(used) > 0, nil
}

// parseTemplate parses a template. An expression ends at the first }} that makes it complete, because it may
// itself contain }}, as in {{ {a: {b: 1}} | tojson }}.
func parseTemplate(name, source string, secrets map[string]any) (*template, error) {
	t := &template{name: name}
	for source != "" {
		text, rest, is := strings.Cut(source, open)
		if text != "" {
			t.parts = append(t.parts, part{text: text})
		}
		if !is {
			break
		}
		expr, after, closed := cutExpr(rest)
		if !closed {
			return nil, fault.New(fault.Invalid, name+" has a {{ without its }}"+usage)
		}
		compiled, secret, err := compileExpr(name, expr, secrets)
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part{expr: compiled, secret: secret})
		source = after
	}
	return t, nil
}

func cutExpr(rest string) (expr, after string, closed bool) {
	for from := 0; ; {
		i := strings.Index(rest[from:], shut)
		if i < 0 {
			// None is complete: the error of the first one is the most helpful.
			return strings.Cut(rest, shut)
		}
		if _, err := gojq.Parse(rest[:from+i]); err == nil {
			return rest[:from+i], rest[from+i+len(shut):], true
		}
		from += i + 1
	}
}

// constant returns the text of a template without expressions.
func (t *template) constant() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].expr == nil:
		return t.parts[0].text, true
	default:
		return "", false
	}
}

// errEmpty means that an expression yielded nothing.
var errEmpty = errors.New("gives nothing")

// rendered is the text of a template. In shown, values of expressions that use secrets are masked; derived are these values.
type rendered struct {
	text, shown string
	derived     []string
}

// render evaluates the template, passing each value through escape. It returns errEmpty if a value is null, an
// empty string or missing, otherwise a fault.Invalid.
func (t *template) render(ctx context.Context, input *jq.Input, secrets map[string]any, escape func(string) string) (r rendered, err error) {
	var text, shown strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			text.WriteString(p.text)
			shown.WriteString(p.text)
			continue
		}
		value, err := p.value(ctx, t.name, input, secrets)
		if err != nil {
			return rendered{}, err
		}
		escaped := escape(value)
		text.WriteString(escaped)
		if p.secret {
			r.derived = append(r.derived, value)
			escaped = destination.Masked
		}
		shown.WriteString(escaped)
	}
	r.text, r.shown = text.String(), shown.String()
	return r, nil
}

func (p part) value(ctx context.Context, name string, input *jq.Input, secrets map[string]any) (string, error) {
	value, _, err := runOne(ctx, p.expr, p.secret, name, input, secrets)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case nil:
		return "", errEmpty
	case string:
		if v == "" {
			return "", errEmpty
		}
		return v, nil
	case map[string]any, []any:
		return "", fault.Newf(fault.Invalid, "%s has %s where a text or a number is wanted: choose one of its values, or write it with tojson", name, gojq.TypeOf(value))
	default:
		text, err := gojq.Marshal(v)
		if err != nil {
			return "", fault.New(fault.Invalid, name+" has a value that cannot be written")
		}
		return string(text), nil
	}
}

// runOne runs an expression that yields at most one value. jq errors quote values, so those of an expression
// with secrets are not passed on; the preview, which masks secrets, shows them.
func runOne(ctx context.Context, expr *jq.Expression, secret bool, name string, input *jq.Input, secrets map[string]any) (value any, ok bool, err error) {
	value, ok, err = expr.One(ctx, input, secrets)
	switch {
	case err == nil:
		return value, ok, nil
	case secret && !isMasked(secrets) && !destination.Halts(err) && !destination.Unavailable(err):
		return nil, false, destination.ExpressionError(err, name+" fails on this change; it uses secrets, so the cause is not kept: authsync destinations preview shows it, with secrets masked")
	default:
		return nil, false, destination.ExpressionError(err, err.Error())
	}
}

func isMasked(secrets map[string]any) bool {
	for _, value := range secrets {
		if value != destination.Masked {
			return false
		}
	}
	return true
}
