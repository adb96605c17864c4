package jq

import (
	"encoding/json"
	"sync"
)

// Input is a value that expressions run on, as encoding/json decodes it (numbers may be
// json.Number). It is safe for concurrent use, and is written for workers at most once, however many
// expressions run on it.
type Input struct {
	value any

	once sync.Once
	id   uint64 // of this Input in the pool; a worker remembers the one it had last
	text []byte
	err  error
}

// Of makes an Input. The value may not change from then on.
func Of(value any) *Input { return &Input{value: value} }

// encode writes the value for the workers of a pool.
func (in *Input) encode(p *pool) (id uint64, text []byte, err error) {
	in.once.Do(func() {
		in.id = p.inputs.Add(1)
		in.text, in.err = json.Marshal(in.value)
	})
	return in.id, in.text, in.err
}
