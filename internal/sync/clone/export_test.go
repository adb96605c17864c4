package clone

import (
	"context"

	"github.com/google/uuid"
)

// Step does one step of a clone, as a worker of its own. idle: there was nothing to do; done: it stands still.
func Step(ctx context.Context, c Config, projectID uuid.UUID) (idle, done bool, err error) {
	r, err := newWorker(c).load(ctx, projectID)
	if err != nil || r == nil {
		return true, r == nil, err
	}
	idle, err = r.step(ctx)
	return idle, false, err
}

// ErrMoved is the error of a step that came too late.
var ErrMoved = errMoved
