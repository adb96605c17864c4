package redact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Middleware goes around all jobs: the errors that River stores, logs and shows are as
// Text gives them, and a panic becomes an error without its value.
func Middleware(log *slog.Logger) rivertype.WorkerMiddleware { return &middleware{log: log} }

type middleware struct {
	river.MiddlewareDefaults

	log *slog.Logger
}

func (m *middleware) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) (err error) {
	defer func() {
		if crash := recover(); crash != nil {
			err = m.crashed(ctx, job, crash)
		}
	}()
	return clean(work(ctx))
}

// clean leaves of an error what River acts on, and its text.
func clean(err error) error {
	if err == nil {
		return nil
	}
	if snooze, ok := errors.AsType[*rivertype.JobSnoozeError](err); ok {
		return snooze
	}
	if cancel, ok := errors.AsType[*rivertype.JobCancelError](err); ok {
		return river.JobCancel(errors.New(Text(cancel.Unwrap())))
	}
	return errors.New(Text(err))
}

// crashed logs where a job panicked. The stack has no values; the panic itself may be
// anything, so of others than Go's own only the type is told.
func (m *middleware) crashed(ctx context.Context, job *rivertype.JobRow, crash any) error {
	what := fmt.Sprintf("%T", crash)
	if own, ok := crash.(runtime.Error); ok {
		what = Line(own.Error())
	}
	m.log.ErrorContext(ctx, "job_panicked", slog.Int64("job_id", job.ID), slog.String("kind", job.Kind),
		slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("the job panicked (%s), which is a bug of authsync: job_panicked in the log has the stack", what)
}
