package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/itchyny/gojq"

	"github.com/authsync/authsync/internal/destination"
)

type expression struct{ code *gojq.Code }

func compile(source string) (*expression, error) {
	q, err := gojq.Parse(source)
	if err != nil {
		return nil, err
	}
	code, err := gojq.Compile(q)
	if err != nil {
		return nil, err
	}
	return &expression{code}, nil
}

func (e *expression) value(ctx context.Context, in any) (any, error) {
	v, ok := e.code.RunWithContext(ctx, in).Next()
	if !ok {
		return nil, nil
	}
	if err, failed := v.(error); failed {
		return nil, err
	}
	return v, nil
}

func input(m destination.Message) (any, error) {
	var user, before any
	for _, p := range []struct {
		raw  json.RawMessage
		into *any
	}{{m.User, &user}, {m.Before, &before}} {
		if len(p.raw) > 0 {
			if err := unmarshal(p.raw, p.into); err != nil {
				return nil, errors.Join(fmt.Errorf("json"), err)
			}
		}
	}
	return map[string]any{"id": m.ID, "kind": m.Kind, "user": user, "before": before, "provider": m.Provider}, nil
}

func unmarshal(raw []byte, into *any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}
