package jq

import (
	"container/list"
	"fmt"
)

// Keeps tells how many expressions a worker keeps, and the size of their texts, after it has compiled some.
func Keeps(sources []string) (expressions, size int, err error) {
	w := worker{compiled: map[string]*list.Element{}, recent: list.New()}
	for _, source := range sources {
		if _, err := w.program(source, nil); err != nil {
			return 0, 0, fmt.Errorf("compile an expression: %w", err)
		}
	}
	for key := range w.compiled {
		size += len(key)
	}
	return w.recent.Len(), size, nil
}

// HoldsInput reports whether a worker that reads a second input still holds the first.
func HoldsInput() bool {
	w := worker{compiled: map[string]*list.Element{}, recent: list.New()}
	w.answer(call{Source: ".", InputID: 1, Input: []byte(`[1]`), Values: []byte(`[]`)})
	w.answer(call{Source: ".", InputID: 2, Input: []byte(`[`), Values: []byte(`[]`)}) // the reading goes no further
	return w.input != nil
}
