package custom

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/record"
)

// maxEvents is the maximum number of events in a request.
const maxEvents = 100

// The defaults of expressions. An envelope of Amazon EventBridge is taken off, so that an event is the same with and
// without one.
const (
	defaultEach = `if type == "array" then .[] else . end`
	defaultType = `.type? // $envelope["detail-type"]`
	anEnvelope  = `type == "object" and (.detail | type) == "object" and has("detail-type")` // as payload.Unwrap
)

// The variables of an expression: the event, and the envelope of Amazon EventBridge that it came in, or null.
const eventVariable, envelopeVariable = "$event", "$envelope"

// typesVariable is the program's: the record types by event type.
const typesVariable = "$authsync_types"

// helpers are functions of the program. authsync_one collects what an expression gives, or its error, so that one that
// fails does not fail the others; two values are enough to tell that there are several. authsync_at looks up a path and
// gives nothing, rather than null, if the key is missing.
const helpers = `
def authsync_one(f): try [limit(2; f)] catch {error: ((if type == "string" then . else tojson end)[:300])};
def authsync_at($path): if $path == [] then . elif type == "object" then
	(if has($path[0]) then .[$path[0]] | authsync_at($path[1:]) else empty end) elif . == null then . else empty end;
`

// path matches an expression that only looks up keys by their names.
var path = regexp.MustCompile(`^(\.[A-Za-z_][A-Za-z0-9_]*)+$`)

// within puts an expression into the program. The line break ends a comment.
func within(expression string) string {
	expression = strings.TrimSpace(expression)
	if path.MatchString(expression) {
		keys, _ := json.Marshal(strings.Split(expression[1:], ".")) //nolint:errchkjson // texts
		return "authsync_at(" + string(keys) + ")"
	}
	return "(" + expression + "\n)"
}

// program makes one expression of all of a definition's: a request is mapped by one run, which has one limit of time.
func (d *Definition) program() (*jq.Expression, error) {
	var b strings.Builder
	b.WriteString(helpers)
	each := d.Event.Each
	if strings.TrimSpace(each) == "" {
		each = defaultEach
	}
	typ := d.Event.Type
	if strings.TrimSpace(typ) == "" {
		typ = defaultType
	}
	fmt.Fprintf(&b, "[limit(%d; (%s\n)\n| (if %s then . else null end) as $envelope\n", maxEvents+1, each, anEnvelope)
	b.WriteString("| (if $envelope then .detail else . end) as $event | $event\n")
	fmt.Fprintf(&b, "| authsync_one(%s) as $type\n", within(typ))
	b.WriteString("| {type: $type, envelope: ($envelope | if . then {id, time} else null end)")
	for _, part := range []struct{ name, expression string }{{"id", d.Event.ID}, {"time", d.Event.Time}, {"test", d.Event.Test}} {
		if strings.TrimSpace(part.expression) != "" {
			fmt.Fprintf(&b, ", %s: authsync_one(%s)", part.name, within(part.expression))
		}
	}
	fmt.Fprintf(&b, "}\n+ ((if ($type | type) == \"array\" and ($type[0] | type) == \"string\" then %s[$type[0]] else null end) as $record\n| ", typesVariable)
	for i, name := range slices.Sorted(maps.Keys(d.Records)) {
		if i > 0 {
			b.WriteString("el")
		}
		fmt.Fprintf(&b, "if $record == %s then %s\n", strconv.Quote(name), recordProgram(d.Records[name]))
	}
	b.WriteString("else {} end))]")
	return jq.Compile("the mapping", b.String(), typesVariable)
}

// recordProgram maps an object. That of a deletion may be missing: then the expressions see null.
func recordProgram(expressions map[string]string) string {
	object := expressions[objectKey]
	if strings.TrimSpace(object) == "" {
		object = "."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "authsync_one(%s) as $object | (if ($object | type) == \"array\" then $object[0] else null end) | {object: $object, fields: {", within(object))
	first := true
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		if name == objectKey {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		fmt.Fprintf(&b, "%s: authsync_one(%s)", name, within(expressions[name]))
	}
	b.WriteString("}}")
	return b.String()
}

// recordTypes are the record types by event type, for the program.
func recordTypes(types map[string]meaning) map[string]any {
	names := map[string]any{}
	for name, m := range types {
		names[name] = string(m.record)
	}
	return names
}

// one is what an expression gave.
type one struct {
	values []json.RawMessage
	failed string
}

// UnmarshalJSON reads what authsync_one gives.
func (o *one) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), "[") {
		return json.Unmarshal(text, &o.values)
	}
	var failure struct {
		Error string `json:"error"`
	}
	err := json.Unmarshal(text, &failure)
	o.failed = failure.Error
	return err
}

// mapped is what the program gives for an event.
type mapped struct {
	Type     one            `json:"type"`
	ID       one            `json:"id"`
	Time     one            `json:"time"`
	Test     one            `json:"test"`
	Object   one            `json:"object"`
	Fields   map[string]one `json:"fields"`
	Envelope *struct {
		ID   json.RawMessage `json:"id"`
		Time json.RawMessage `json:"time"`
	} `json:"envelope"`
}

// fieldsFor are the keys of the fields that are mapped, for a type.
func fieldsFor(t record.Type, expressions map[string]string) []string {
	all, _ := fieldsOf(t)
	return slices.DeleteFunc(all, func(name string) bool { return strings.TrimSpace(expressions[name]) == "" })
}
