package schema

import (
	"fmt"
	"strings"

	"github.com/authsync/authsync/internal/record"
)

// A change of the feed has the row as it left it in the columns after_COLUMN, each in its own type, and what it changed as a sum.
// The names and the JSON that readers see are made of these when they read: they are most of such a row's size.

// AfterColumns returns the columns of a change that hold a row of the type.
func (t recordType) AfterColumns() string {
	var names []string
	for _, k := range t.Keys {
		if k.Name != "id" { // that is record_id
			names = append(names, "after_"+k.Name)
		}
	}
	for _, c := range t.InFeed() {
		names = append(names, "after_"+c.Name)
	}
	return wrap(names, 12)
}

// AfterValues returns the values of AfterColumns, of the columns of an alias; its keys begin with a prefix.
func (t recordType) AfterValues(alias, keyPrefix string) string {
	var values []string
	for _, k := range t.Keys {
		if k.Name != "id" {
			values = append(values, alias+"."+keyPrefix+k.Name)
		}
	}
	for _, c := range t.InFeed() {
		values = append(values, alias+"."+c.Decided)
	}
	return wrap(values, 12)
}

// AfterColumns returns the columns of a change that hold a row of any type, with a prefix.
func (t recordTypes) AfterColumns(prefix string) string {
	var names []string
	for _, c := range t.Columns {
		if c != record.Raw {
			names = append(names, prefix+"after_"+string(c))
		}
	}
	return wrap(names, 8)
}

// ChangedNames returns the names of the columns that a change of the feed changed.
func (t recordTypes) ChangedNames(change string, indent int) string {
	line := "\n" + strings.Repeat(" ", indent)
	var b strings.Builder
	fmt.Fprintf(&b, "coalesce(%[1]s.changed, array_remove(CASE %[1]s.record_type", change)
	for _, d := range t.Types {
		var names []string
		for _, c := range d.Mirrored {
			names = append(names, fmt.Sprintf("CASE WHEN %s.changed_fields & %d <> 0 THEN '%s' END", change, c.Bit, c.Shown))
		}
		fmt.Fprintf(&b, "%s    WHEN '%s' THEN ARRAY[%s        %s%s    ]", line, d.Type, line, strings.Join(names, ","+line+"        "), line)
	}
	b.WriteString(line + "END, NULL))")
	return b.String()
}

// AfterJSON returns the row as a change of the feed left it, without raw, as JSON. Times are in UTC, whatever the session's zone is.
func (t recordTypes) AfterJSON(change string, indent int) string {
	line := "\n" + strings.Repeat(" ", indent)
	var b strings.Builder
	fmt.Fprintf(&b, "coalesce(%[1]s.after, CASE %[1]s.record_type", change)
	for _, d := range t.Types {
		var pairs []string
		for _, k := range d.Keys {
			value := change + ".after_" + k.Name
			if k.Name == "id" {
				value = change + ".record_id"
			}
			pairs = append(pairs, fmt.Sprintf("'%s', %s", k.Name, value))
		}
		for _, c := range d.InFeed() {
			value := change + ".after_" + c.Name
			if record.Column(c.Name).SQLType() == "timestamptz" {
				value = fmt.Sprintf("(to_jsonb(%s AT TIME ZONE 'UTC') #>> '{}') || '+00:00'", value)
			}
			pairs = append(pairs, fmt.Sprintf("'%s', %s", c.Shown, value))
		}
		fmt.Fprintf(&b, "%s    WHEN '%s' THEN jsonb_build_object(%s        %s%s    )", line, d.Type, line, strings.Join(pairs, ","+line+"        "), line)
	}
	b.WriteString(line + "END)")
	return b.String()
}

// wrap joins a list with commas, in lines that are not too long.
func wrap(list []string, indent int) string {
	var b strings.Builder
	length := 0
	for i, item := range list {
		switch {
		case i == 0:
		case length+len(item) > 110:
			b.WriteString(",\n" + strings.Repeat(" ", indent))
			length = 0
		default:
			b.WriteString(", ")
		}
		b.WriteString(item)
		length += len(item) + 2
	}
	return b.String()
}
