package provider

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of option exclude: every key of every message is looked up in it.
const (
	maxExcluded      = 50
	maxExcludedName  = 200 // bytes
	maxExcludedDepth = 8   // keys
)

// ParseExcluded splits an entry of option exclude into its keys, the innermost last. A dot separates two keys, a backslash
// makes the character after it part of a key. The error says what is wrong with the entry.
func ParseExcluded(entry string) (keys []string, err error) {
	if len(entry) > maxExcludedName || !utf8.ValidString(entry) || strings.ContainsRune(entry, 0) {
		return nil, fmt.Errorf("options.exclude has an entry that is no text of at most %d bytes", maxExcludedName)
	}
	var key strings.Builder
	for i := 0; i < len(entry); i++ {
		switch c := entry[i]; {
		case c == '.':
			keys = append(keys, key.String())
			key.Reset()
		case c == '\\' && i+1 == len(entry):
			return nil, fmt.Errorf(`options.exclude has %q: a backslash must come before a dot or a backslash`, entry)
		case c == '\\':
			i++
			key.WriteByte(entry[i])
		default:
			key.WriteByte(c)
		}
	}
	keys = append(keys, key.String())
	switch {
	case slices.Contains(keys, ""):
		return nil, fmt.Errorf(`options.exclude has %q: it takes the name of a key, such as "last_ip", or a path, such as "user_metadata.ssn"`, entry)
	case len(keys) > maxExcludedDepth:
		return nil, fmt.Errorf("options.exclude has %q: a path has at most %d keys", entry, maxExcludedDepth)
	}
	return keys, nil
}

func (o Options) validateExclude() error {
	if len(o.Exclude) > maxExcluded {
		return fmt.Errorf("options.exclude has %d entries: at most %d are taken", len(o.Exclude), maxExcluded)
	}
	for i, entry := range o.Exclude {
		if _, err := ParseExcluded(entry); err != nil {
			return err
		}
		if slices.Contains(o.Exclude[:i], entry) {
			return fmt.Errorf("options.exclude has %q twice", entry)
		}
	}
	return nil
}

// CheckExclude refuses entries of option exclude that would remove what events are recognized by. needed are the paths of
// that in a body: the type, id and time of an event, the ids of its record, and the record's own clocks.
func CheckExclude(o Options, needed []string) error {
	for _, entry := range o.Exclude {
		keys, err := ParseExcluded(entry)
		if err != nil {
			return err
		}
		for _, path := range needed {
			if removes(keys, strings.Split(path, ".")) {
				return fmt.Errorf("options.exclude has %q, which would remove %s: authsync cannot tell events or records apart, or order them, "+
					"without it. Exclude a longer path, such as %q", entry, path, "user_metadata."+entry)
			}
		}
	}
	return nil
}

// removes reports whether excluded keys are those that a path, or what it is in, ends with.
func removes(keys, path []string) bool {
	for end := len(keys); end <= len(path); end++ {
		if slices.Equal(keys, path[end-len(keys):end]) {
			return true
		}
	}
	return false
}

// NewlyExcluded returns the entries of option exclude that other options lack.
func (o Options) NewlyExcluded(before Options) []string {
	var added []string
	for _, entry := range o.Exclude {
		if !slices.Contains(before.Exclude, entry) {
			added = append(added, entry)
		}
	}
	return added
}

// Excluding adds the entries of option exclude to what is compared: a value that the mirror still has of one is a
// difference, so that a reconcile removes it.
func (c Comparison) Excluding(o Options) Comparison {
	for _, entry := range o.Exclude {
		keys, err := ParseExcluded(entry)
		if err != nil {
			continue // impossible: the options have been checked
		}
		top := keys[0]
		gone := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(key string) bool { return key == top })
		}
		c.Complete, c.Quiet, c.Loose, c.Computed = append(gone(c.Complete), top), gone(c.Quiet), gone(c.Loose), gone(c.Computed)
	}
	return c
}
