package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// stopFunc stops what a step started. When ctx ends it must return, even if it has to abort work.
type stopFunc func(ctx context.Context) error

// steps are the running parts, in the order in which they were started.
type steps struct {
	log     *slog.Logger
	started []step
}

type step struct {
	name string
	stop stopFunc
}

// start runs one step. If it fails, the error names it, and the earlier steps keep running: call
// stop.
func (s *steps) start(ctx context.Context, name string, start func(context.Context) (stopFunc, error)) error {
	begin := time.Now()
	stop, err := start(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.started = append(s.started, step{name, stop})
	s.log.DebugContext(ctx, "step_started", slog.String("step", name), slog.Duration("took", time.Since(begin)))
	return nil
}

// grace is the time that each step still gets to stop when the overall time is up, so that a slow
// one does not make the others stop in disorder.
const grace = 3 * time.Second

// stop stops every started step, in reverse order. A step that fails to stop does not prevent the
// others from stopping.
func (s *steps) stop(ctx context.Context) error {
	var errs []error
	for _, st := range slices.Backward(s.started) {
		begin := time.Now()
		if st.stop == nil {
			continue
		}
		if err := stopInTime(ctx, st.stop); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", st.name, err))
			s.log.ErrorContext(ctx, "step_not_stopped", slog.String("step", st.name), slog.Any("error", err))
			continue
		}
		s.log.DebugContext(ctx, "step_stopped", slog.String("step", st.name), slog.Duration("took", time.Since(begin)))
	}
	s.started = nil
	return errors.Join(errs...)
}

func stopInTime(ctx context.Context, stop stopFunc) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
	}
	return stop(ctx)
}
