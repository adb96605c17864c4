package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/authsync/authsync/internal/problem"
)

// maxRepeated is how many keys that are given twice an answer names.
const maxRepeated = 20

// level is an object or a list that a walk through a document is in.
type level struct {
	path  string
	keys  map[string]int // of an object, how often each was given; nil: a list
	key   string         // the one whose value comes next
	isKey bool           // a key comes next
	index int            // of a list
}

// repeatedFields finds the keys that stand in an object more than once, at any depth. encoding/json would take the last
// value, and the caller would not learn that the others count for nothing. body is JSON.
func repeatedFields(body []byte) (faults []problem.Field) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // one that no float64 holds is for somebody else to refuse
	var levels []level
	for len(faults) < maxRepeated {
		token, err := decoder.Token()
		if err != nil { // the end
			return faults
		}
		var in *level
		if len(levels) > 0 {
			in = &levels[len(levels)-1]
		}
		if key, is := token.(string); is && in != nil && in.isKey {
			in.key, in.isKey = key, false
			if in.keys[key]++; in.keys[key] == 2 {
				name := shortened(in.valuePath())
				faults = append(faults, problem.Field{
					In: inBody, Field: name, Code: problem.Repeated, Detail: fmt.Sprintf("%.60q is given more than once: give it once", name),
				})
			}
			continue
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			inner := level{index: -1}
			if in != nil {
				inner.path = in.valuePath()
			}
			if token == json.Delim('{') {
				inner.keys, inner.isKey = map[string]int{}, true
			}
			levels = append(levels, inner)
			continue
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		if len(levels) > 0 {
			levels[len(levels)-1].next()
		}
	}
	return faults
}

// valuePath is the path of the value that comes next.
func (l *level) valuePath() string {
	switch {
	case l.keys == nil:
		return l.path + "[" + strconv.Itoa(l.index+1) + "]"
	case l.path == "":
		return l.key
	default:
		return l.path + "." + l.key
	}
}

// next is called after each value.
func (l *level) next() {
	l.isKey = l.keys != nil
	l.index++
}
