package custom

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/strictyaml"
)

// MaxDefinition is the maximum size of a definition, in bytes.
const MaxDefinition = 64 << 10

// Limits of the parts of a definition that are no expressions.
const (
	maxTypes   = 500
	maxName    = 128
	maxReason  = 300
	maxSecrets = 50
)

// Compiled is a definition that has been checked.
type Compiled struct {
	Definition

	types   map[string]meaning
	keys    map[record.Type][]payload.Key
	program *jq.Expression
	sample  *jq.Expression // nil if there is none
	scheme  scheme
}

// ReadFile reads a definition out of a file of YAML, of which JSON is a part. The error names each mistake with its line and
// column; name is that of the file.
func ReadFile(name string, text []byte) (*Compiled, error) { return readFile(name, text, compile) }

// compiler is compile, or compileSignature.
type compiler func(*strictyaml.Reader, *yaml.Node) (*Compiled, error)

func readFile(name string, text []byte, compile compiler) (*Compiled, error) {
	if len(text) > MaxDefinition {
		return nil, fmt.Errorf("%s is %d bytes long: a definition has at most %d", name, len(text), MaxDefinition)
	}
	r, root, err := strictyaml.Parse(name, text)
	if errors.Is(err, strictyaml.ErrEmpty) {
		return nil, fmt.Errorf("%w: docs/custom-providers.md shows such a file", err)
	}
	if err != nil {
		return nil, err
	}
	compiled, err := compile(r, root)
	if err != nil {
		return nil, err
	}
	return compiled, r.Err()
}

// Parse reads a definition as JSON. The error names each mistake with the path of its member.
func Parse(text []byte) (*Compiled, error) { return parse(text, compile) }

func parse(text []byte, compile compiler) (*Compiled, error) {
	if len(text) > MaxDefinition {
		return nil, fmt.Errorf("options.definition is %d bytes long: a definition has at most %d", len(text), MaxDefinition)
	}
	root, err := strictyaml.FromJSON(text)
	if err != nil {
		return nil, fmt.Errorf("options.definition: %w", err)
	}
	if _, note := payload.Storable(payload.Value(bytes.TrimSpace(text))); note != "" {
		return nil, errors.New("options.definition has characters or numbers that PostgreSQL cannot hold: write it without them")
	}
	r := strictyaml.New("options.definition", root)
	compiled, err := compile(r, root)
	if err != nil || len(r.Problems) == 0 {
		return compiled, err
	}
	var texts []string
	for _, p := range r.Problems[:min(len(r.Problems), 20)] {
		at := "options.definition"
		if path := r.PathOf(p); path != "" {
			at += "." + path
		}
		texts = append(texts, at+": "+p.Text)
	}
	return nil, errors.New(strings.Join(texts, "; "))
}

// compileSignature checks the signature only: the rest was checked before. An error is a bug.
func compileSignature(r *strictyaml.Reader, root *yaml.Node) (*Compiled, error) {
	c := checker{Reader: r, Compiled: &Compiled{types: map[string]meaning{}, keys: map[record.Type][]payload.Key{}}}
	if err := r.Decode(root, &c.Definition); err != nil || len(r.Problems) > 0 {
		return nil, err
	}
	c.checkSignature()
	return c.Compiled, nil
}

// compile checks a definition and notes what is wrong. An error is a bug.
func compile(r *strictyaml.Reader, root *yaml.Node) (*Compiled, error) {
	whole, err := compileSignature(r, root)
	if whole == nil {
		return nil, err
	}
	c := checker{Reader: r, Compiled: whole}
	c.checkEvent()
	c.checkTypes()
	c.checkRecords()
	c.checkRest()
	if len(r.Problems) > 0 {
		return nil, nil //nolint:nilnil // the reader has the problems
	}
	if c.program, err = c.Definition.program(); err != nil {
		c.fail("records", "the expressions cannot be put together: %v", err)
	}
	return c.Compiled, nil
}

type checker struct {
	*strictyaml.Reader
	*Compiled
}

// fail notes a problem at a path with dots, such as signature.header.
func (c *checker) fail(path, format string, args ...any) {
	c.failAt(strings.Split(path, "."), format, args...)
}

func (c *checker) failAt(keys []string, format string, args ...any) {
	path := ""
	for _, key := range keys {
		path = strictyaml.Join(path, key)
	}
	n := c.ValueAt(path)
	if n == nil {
		n = c.KeyAt(path)
	}
	c.Fail(n, format, args...)
}

// expression checks a jq expression, if it is given.
func (c *checker) expression(keys []string, source string, variables ...string) *jq.Expression {
	if source == "" {
		return nil
	}
	e, err := jq.Compile("this", source, variables...)
	if err != nil {
		c.failAt(keys, "%v", err)
	}
	return e
}

func (c *checker) checkEvent() {
	e := c.Event
	c.expression([]string{"event", "each"}, e.Each)
	for name, source := range map[string]string{"type": e.Type, "id": e.ID, "time": e.Time, "test": e.Test} {
		c.expression([]string{"event", name}, source, eventVariable, envelopeVariable)
	}
	if _, known := timeUnits()[c.TimeUnit]; c.TimeUnit != "" && !known {
		c.fail("time_unit", "unknown unit %.40q: must be seconds, milliseconds, microseconds or nanoseconds", c.TimeUnit)
	}
}

func (c *checker) checkTypes() {
	if len(c.Types)+len(c.Ignore) > maxTypes {
		c.fail("types", "there are %d types: at most %d are taken", len(c.Types)+len(c.Ignore), maxTypes)
		return
	}
	all := meanings()
	users := false
	for _, name := range slices.Sorted(maps.Keys(c.Types)) {
		m, known := all[c.Types[name]]
		switch {
		case name == "" || len(name) > maxName:
			c.failAt([]string{"types", name}, "a type has 1 to %d bytes", maxName)
		case !known:
			c.failAt([]string{"types", name}, "%.60q is no change of a record: must be one of %s", c.Types[name], strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		case c.Records[string(m.record)] == nil:
			c.failAt([]string{"types", name}, "records.%s is missing: it says where %s has its id", m.record, m.record.WithArticle())
		}
		users = users || m.record == record.User
		c.types[name] = m
	}
	if !users {
		c.fail("types", "no type says that a user was created, updated or deleted: users are always mirrored")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Ignore)) {
		_, both := c.Types[name]
		switch reason := c.Ignore[name]; {
		case both:
			c.failAt([]string{"ignore", name}, "the type is in types, too")
		case strings.TrimSpace(reason) == "" || len(reason) > maxReason:
			c.failAt([]string{"ignore", name}, "give a reason of 1 to %d bytes", maxReason)
		case name == "" || len(name) > maxName:
			c.failAt([]string{"ignore", name}, "a type has 1 to %d bytes", maxName)
		}
	}
}

func (c *checker) checkRecords() {
	for _, name := range slices.Sorted(maps.Keys(c.Records)) {
		t := record.Type(name)
		fields, required := fieldsOf(t)
		if fields == nil {
			c.Unknown(c.KeyAt(strictyaml.Join(strictyaml.Join("", "records"), name)), "record type", name, record.Names())
			continue
		}
		expressions := c.Records[name]
		for _, key := range slices.Sorted(maps.Keys(expressions)) {
			at := []string{"records", name, key}
			switch source := expressions[key]; {
			case key != objectKey && !slices.Contains(fields, key):
				c.Unknown(c.KeyAt(strictyaml.Join(strictyaml.Join(strictyaml.Join("", "records"), name), key)), "column", key, append([]string{objectKey}, fields...))
			case strings.TrimSpace(source) == "":
				c.failAt(at, "this is empty: give a jq expression, such as .data.%s, or leave it out", key)
			default:
				c.expression(at, source, eventVariable, envelopeVariable)
			}
		}
		for _, key := range fields[:required] {
			if strings.TrimSpace(expressions[key]) == "" {
				c.failAt([]string{"records", name}, "%s is missing: give a jq expression, such as .%s", key, key)
			}
		}
		c.keys[t] = keysOf(t, expressions)
	}
}

// keysOf are the keys of a mapping; their paths are what notes call them.
func keysOf(t record.Type, expressions map[string]string) (keys []payload.Key) {
	names := fieldsFor(t, expressions)
	if t == record.User && !slices.Contains(names, "first_name") {
		names = append(names, "first_name") // by which both names are read
	}
	for _, name := range names {
		keys = append(keys, payload.Key{Field: fieldNames()[name], Path: name})
	}
	return keys
}

func (c *checker) checkRest() {
	if len(c.Title) > maxName || strings.ContainsFunc(c.Title, func(r rune) bool { return r < ' ' }) {
		c.fail("title", "a title has at most %d bytes and no line break", maxName)
	}
	if len(c.Secrets) > maxSecrets {
		c.fail("secrets", "there are %d names: at most %d are taken", len(c.Secrets), maxSecrets)
	}
	for i, name := range c.Secrets {
		if plain := plainName(name); plain == "" {
			c.fail(fmt.Sprintf("secrets.%d", i), "this is no name of a key: give one such as access_code")
		}
	}
	c.sample = c.expression([]string{"sample"}, c.Sample)
}

// plainName is a key as payload.Redact compares it.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.':
			return -1
		default:
			return r
		}
	}, strings.ToLower(name))
}
