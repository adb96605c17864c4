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
