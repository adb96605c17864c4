package payload

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/authsync/authsync/internal/record"
)

func (b *builder) sayTime(field Field, v Value) {
	column := field.column()
	if v.IsNull() {
		b.event.Fields[column] = nil
	} else if t, ok := ParseTime(v); ok {
		b.say(column, Format(t.Time))
	} else if !v.IsAbsent() && field != UpdatedAt { // profileClock notes that one
		b.unreadable(field, string(column)+" is left as it was")
	}
}

// unreadable notes a time that cannot be parsed.
func (b *builder) unreadable(field Field, consequence string) {
	b.note(b.mapping.path(field) + " is no date that can be read: " + consequence)
}

// sayText sets a text field. A blank text clears the column.
func (b *builder) sayText(field Field, v Value) {
	column := field.column()
	switch {
	case v.IsAbsent():
	case v.IsNull():
		b.event.Fields[column] = nil
	case v.IsText():
		text := b.text(field, v)
		if isBlank(text) {
			text = ""
		}
		b.sayOrClear(column, text)
	default:
		b.note(fmt.Sprintf("%s is %s, not a text: %s is left as it was", b.mapping.path(field), v.Kind(), column))
	}
}

// sayList sets a list of texts: an array, or a text with commas between its elements.
func (b *builder) sayList(field Field, v Value) {
	column := field.column()
	list := []string{}
	switch {
	case v.IsAbsent():
		return
	case v.IsBlank():
		b.event.Fields[column] = nil
		return
	case v.IsText():
		for element := range strings.SplitSeq(b.text(field, v), ",") {
			if element = strings.TrimSpace(element); element != "" {
				list = append(list, element)
			}
		}
	case v.IsArray():
		for element := range v.Elements() {
			if !element.IsText() {
				b.note(fmt.Sprintf("%s holds %s, not only texts: %s is left as it was", b.mapping.path(field), element.Kind(), column))
				return
			}
			list = append(list, b.text(field, element))
		}
	default:
		b.note(fmt.Sprintf("%s is %s, not a list of texts: %s is left as it was", b.mapping.path(field), v.Kind(), column))
		return
	}
	b.say(column, *record.Array(list))
}

// sayReference sets the id of the user or organization that a record belongs to.
func (b *builder) sayReference(field Field, v Value, id string) {
	switch {
	case id != "":
		b.say(field.column(), id)
	case v.IsNull():
		b.event.Fields[field.column()] = nil
	}
}

// isBlank reports whether a text shows nothing: it has only spaces, and characters without a width.
func isBlank(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.IsControl(r) && !unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
	})
}

// isName reports whether a value is a text that shows something.
func isName(v Value) bool {
	if !v.IsText() {
		return false
	}
	text, _ := v.Text()
	return !isBlank(text)
}

// isOdd reports whether a value is neither a text nor nothing.
func isOdd(v Value) bool { return !v.IsText() && !v.IsAbsent() && !v.IsNull() }

// sayNames sets the first and last name if the provider gives at least one of them; otherwise it
// splits the full name at white space: the first word, and the unchanged remainder.
func (b *builder) sayNames(first, last, full Value) {
	isOdd := isOdd(first) || isOdd(last)
	if isName(first) || isName(last) || full.IsAbsent() || isOdd && !isName(full) {
		b.sayText(FirstName, first)
		b.sayText(LastName, last)
		return
	}
	b.odd(FirstName, first)
	b.odd(LastName, last)
	switch {
	case full.IsNull():
		b.event.Fields[record.FirstName] = nil
		b.event.Fields[record.LastName] = nil
	case full.IsText():
		firstName, lastName := splitName(b.text(FullName, full))
		b.sayOrClear(record.FirstName, firstName)
		b.sayOrClear(record.LastName, lastName)
	default:
		b.note(fmt.Sprintf("%s is %s, not a text: first_name and last_name are left as they were", b.mapping.path(FullName), full.Kind()))
	}
}

// odd notes that a value is not used, because it is no text.
func (b *builder) odd(field Field, v Value) {
	if isOdd(v) {
		b.note(fmt.Sprintf("%s is %s, not a text: %s is used instead", b.mapping.path(field), v.Kind(), b.mapping.path(FullName)))
	}
}

func splitName(name string) (first, last string) {
	name = strings.TrimSpace(name)
	end := strings.IndexFunc(name, unicode.IsSpace)
	if end < 0 {
		return name, ""
	}
	return name[:end], strings.TrimLeftFunc(name[end:], unicode.IsSpace)
}

func (b *builder) text(field Field, v Value) string {
	text, flaws := v.Text()
	if flaws > 0 {
		b.note(fmt.Sprintf("%s: replaced %d of its characters, which PostgreSQL cannot hold", b.mapping.path(field), flaws))
	}
	return text
}

func (b *builder) sayOrClear(column record.Column, text string) {
	if text == "" {
		b.event.Fields[column] = nil
		return
	}
	b.say(column, text)
}

func (b *builder) say(column record.Column, text string) {
	b.texts[b.used] = text
	b.event.Fields[column] = &b.texts[b.used]
	b.used++
}

func (b *builder) note(text string) {
	if !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}
