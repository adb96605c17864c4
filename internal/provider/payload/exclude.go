package payload

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/authsync/authsync/internal/provider"
)

// Exclusion removes the fields of option exclude from documents. The zero value removes nothing. It is safe for concurrent
// use.
//
// An entry of one key matches that key wherever it is. One of several matches the last of them where the keys are
// within one another like that, whatever the first is in; elements of arrays count as directly within the array's key. So a
// rule means the same in every form in which a provider sends an object: in an envelope, a batch, a log entry or a list.
type Exclusion struct {
	rules map[string][]excluded // by the last key
}

// excluded is an entry of option exclude.
type excluded struct {
	entry   string
	parents []string // innermost last
}

// NewExclusion returns the Exclusion of options that have been validated.
func NewExclusion(o provider.Options) Exclusion {
	if len(o.Exclude) == 0 {
		return Exclusion{}
	}
	x := Exclusion{rules: make(map[string][]excluded, len(o.Exclude))}
	for _, entry := range o.Exclude {
		keys, err := provider.ParseExcluded(entry)
		if err != nil {
			continue // impossible: they are valid
		}
		last := len(keys) - 1
		x.rules[keys[last]] = append(x.rules[keys[last]], excluded{entry, keys[:last]})
	}
	return x
}

// Without returns a message without the fields that options exclude, for those stored before the option was set. The ids of its
// events stay.
func Without(d provider.Message, o provider.Options) provider.Message {
	rest, removed := NewExclusion(o).Remove(d.Body)
	if len(removed) == 0 {
		return d
	}
	if d.BodyDigest == "" {
		d = WithDigest(d)
	}
	d.Body = rest
	return d
}

// Remove returns the document without the excluded members, everything else byte by byte unchanged, and the entries that
// matched, sorted. It takes linear time and no stack, however deep the document is.
//
// It accepts any bytes. In what is not JSON it is not known what is within what, so there the last key of an entry decides, and
// the value becomes null: nobody can decode it, but it is stored. JSON lines are documents of their own.
func (x Exclusion) Remove(doc []byte) (rest []byte, removed []string) {
	if len(x.rules) == 0 {
		return doc, nil
	}
	s := exclusionScan{rules: x.rules, found: make(map[string]bool)}
	if json.Valid(WithoutBOM(doc)) {
		s.document(doc)
	} else {
		s.lines(doc)
	}
	if len(s.found) == 0 {
		return doc, nil
	}
	for entry := range s.found {
		removed = append(removed, entry)
	}
	slices.Sort(removed)
	return s.out, removed
}

type exclusionScan struct {
	rules map[string][]excluded
	found map[string]bool
	out   []byte
	open  []level // the objects and arrays around the current position
}

// level is an object or an array.
type level struct {
	key      []byte // the current member's, quoted; nil in an array
	outer    int    // the level of the object around it, -1 if there is none
	isObject bool
	kept     bool // it has a member that stays
	comma    int  // the position of the comma before the current member, if one stayed before it
}

// lines scans a document that is not JSON as a whole.
func (s *exclusionScan) lines(doc []byte) {
	from := 0 // of what is not a line by itself
	for at := 0; at < len(doc); {
		end := at + 1 + bytes.IndexByte(doc[at:], '\n')
		if end == at {
			end = len(doc)
		}
		if line := doc[at:end]; bytes.HasPrefix(WithoutBOM(line), []byte("{")) && json.Valid(WithoutBOM(line)) {
			s.anything(doc[from:at])
			s.document(line)
			from = end
		}
		at = end
	}
	s.anything(doc[from:])
}

// document scans valid JSON.
func (s *exclusionScan) document(doc []byte) {
	s.open = s.open[:0]
	done, isKey := 0, false
	for i := 0; i < len(doc); {
		top := len(s.open) - 1
		switch doc[i] {
		case '{', '[':
			isKey = doc[i] == '{'
			outer := top
			if top >= 0 && !s.open[top].isObject {
				outer = s.open[top].outer
			}
			s.open = append(s.open, level{isObject: isKey, outer: outer})
			i++
		case '}', ']':
			s.open, isKey = s.open[:top], false
			i++
		case ',':
			if isKey = s.open[top].isObject; isKey {
				s.open[top].comma = i
			}
			i++
		case '"':
			end := stringEnd(doc, i)
			if !isKey {
				i = end
				continue
			}
			value := skipSpace(doc, skipSpace(doc, end)+1)
			if !s.matches(doc[i:end]) {
				s.open[top].key, s.open[top].kept = doc[i:end], true
				isKey = false
				i = value
				continue
			}
			from, to := i, valueEnd(doc, value)
			next := skipSpace(doc, to)
			switch {
			case s.open[top].kept: // with the comma before it
				from, isKey = s.open[top].comma, false
			case doc[next] == ',': // with the comma after it
				to = skipSpace(doc, next+1)
			default:
				isKey = false
			}
			s.out = append(s.out, doc[done:from]...)
			done, i = to, to
		default:
			i++
		}
	}
	s.out = append(s.out, doc[done:]...)
}

// matches reports whether the member with a key, in the innermost object, is excluded, and notes which entries say so.
func (s *exclusionScan) matches(quoted []byte) (matches bool) {
	for _, rule := range s.rules[string(keyText(quoted))] {
		if s.isWithin(rule.parents) {
			s.found[rule.entry], matches = true, true
		}
	}
	return matches
}

// isWithin reports whether the innermost object is within these keys.
func (s *exclusionScan) isWithin(parents []string) bool {
	at := len(s.open) - 1
	for _, parent := range slices.Backward(parents) {
		if at = s.open[at].outer; at < 0 || string(keyText(s.open[at].key)) != parent {
			return false
		}
	}
	return true
}

// anything scans any bytes.
func (s *exclusionScan) anything(doc []byte) {
	done := 0
	for i := 0; i < len(doc); {
		quote := bytes.IndexByte(doc[i:], '"')
		if quote < 0 {
			break
		}
		i += quote
		end := textEnd(doc, i)
		value := skipSpace(doc, end)
		if value >= len(doc) || doc[value] != ':' {
			i = end
			continue
		}
		value = skipSpace(doc, value+1)
		rules := s.rules[string(keyText(doc[i:end]))]
		i = value
		if len(rules) == 0 {
			continue
		}
		for _, rule := range rules {
			s.found[rule.entry] = true
		}
		i = anyEnd(doc, value)
		s.out = append(append(s.out, doc[done:value]...), "null"...)
		done = i
	}
	s.out = append(s.out, doc[done:]...)
}

// keyText is the text of a quoted key. One that nobody can decode has none.
func keyText(quoted []byte) []byte {
	if len(quoted) < 2 || quoted[len(quoted)-1] != '"' {
		return nil
	}
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		return nil
	}
	return []byte(name)
}

// Needed are the paths of what a record is recognized and ordered by, for provider.CheckExclude: where a body has objects of
// a mapping.
func (m Mapping) Needed(places ...string) []string {
	var paths []string
	for _, key := range m.Keys {
		switch key.Field { //nolint:exhaustive // the other fields are values
		case ID, OrganizationID, UserID, UpdatedAt, DeletedAt:
			for _, place := range places {
				paths = append(paths, place+"."+key.Path)
			}
		}
	}
	return paths
}
