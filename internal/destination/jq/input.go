package jq

import (
	"encoding/json"
	"sync"
)

// Input is a value to run expressions on, as decoded by encoding/json (numbers may be json.Number). It is safe
// for concurrent use, and is encoded for workers at most once, however many expressions run on it.
type Input struct {
	value any

	once sync.Once
	id   uint64 // id of this Input in the pool; a worker keeps its last one
	text []byte
	err  error
}

// Of returns an Input. The value must not be modified afterwards.
func Of(value any) *Input { return &Input{value: value} }

// OfJSON returns an Input of a JSON document, which is decoded in a worker only. It must be valid. It is for
// expressions that are not light: see Expression.All.
func OfJSON(document json.RawMessage) *Input { return &Input{text: document} }

// encode encodes the value for the workers of a pool.
func (in *Input) encode(p *pool) (id uint64, text []byte, err error) {
	in.once.Do(func() {
		in.id = p.inputs.Add(1)
		if in.text == nil {
			in.text, in.err = json.Marshal(in.value)
		}
	})
	return in.id, in.text, in.err
}
