package cli

import (
	"context"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/buildinfo"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/tracing"
)

func (s *session) newServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run a server against your own control database",
		Long: `Runs a server in production: DATABASE_URL names the control database, and
AUTHSYNC_ENCRYPTION_KEY is the key that encrypts credentials. Any number of
processes may run, each with all roles or some of them (AUTHSYNC_ROLES):

  receiver   accepts webhooks and stores them
  worker     applies them to the mirrors
  api        serves the management API, and River UI at /river/

Every process serves /healthz, /readyz and /metrics.

The schema must be current: run authsync migrate up first. SIGTERM and Ctrl-C shut
the server down gracefully: for AUTHSYNC_DRAIN_DELAY it still serves requests, with
/readyz at 503 and connections closed after each response; requests and jobs in
progress then have AUTHSYNC_SHUTDOWN_TIMEOUT to finish. A second signal stops it
immediately. The log goes to standard error. authsync config lists all settings.

OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 exports a trace of each message to
its row and its destinations; the other variables of OpenTelemetry's SDK count too.`,
		Example: "  export DATABASE_URL=postgres://authsync:secret@db/authsync\n" +
			"  export AUTHSYNC_ENCRYPTION_KEY=$(openssl rand -base64 32)   # keep it: nothing can be read without it\n" +
			"  authsync migrate up && authsync serve",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.settings()
			if err != nil {
				return err
			}
			if err := c.Require("DATABASE_URL", "AUTHSYNC_ENCRYPTION_KEY"); err != nil {
				return err
			}
			log := app.NewLogger(c, s.Err)
			return s.traced(cmd.Context(), c, log, func(tracer *tracing.Tracer) error {
				a, err := app.Start(cmd.Context(), app.Config{Settings: c, Log: log, Tracer: tracer})
				if err != nil {
					return err
				}
				notifyManager(log, daemon.SdNotifyReady)
				drain := func(ctx context.Context) {
					notifyManager(log, daemon.SdNotifyStopping)
					a.Drain(ctx)
				}
				return runUntil(cmd.Context(), a.Failed(), c, drain, a.Stop)
			})
		},
	}
}

// traced runs a server that exports traces, if the environment asks for it, and exports the last of them after it.
func (s *session) traced(ctx context.Context, c config.Config, log *slog.Logger, run func(*tracing.Tracer) error) error {
	tracer, stop, err := tracing.Start(ctx, s.Lookup, buildinfo.Read().Version, log)
	if err != nil {
		return err
	}
	err = run(tracer)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	if unsent := stop(stopping); unsent != nil { // the work was done all the same
		log.WarnContext(ctx, "traces_not_exported", slog.Any("error", unsent))
	}
	return err
}

// notifyManager notifies systemd, or another service manager that has set NOTIFY_SOCKET,
// which then starts what depends on this process once it serves. The server runs without one too.
func notifyManager(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("service_manager_not_notified", slog.String("state", state), slog.Any("error", err))
	}
}

// runUntil waits for the end of ctx or of the server, and stops it. A server that has not
// ended by itself is drained before.
func runUntil(
	ctx context.Context, failed <-chan error, c config.Config, drain func(context.Context), stop func(context.Context) error,
) error {
	var failure error
	select {
	case <-ctx.Done():
		drain(context.WithoutCancel(ctx))
	case failure = <-failed:
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	err := stop(stopCtx)
	if failure != nil {
		return failure
	}
	return err
}
