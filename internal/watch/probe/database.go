package probe

import (
	"context"
	"time"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/redact"
)

// database connects to a project's database, asks for one row, and notes when its certificate expires.
func (w *Worker) database(ctx context.Context, s *state) {
	probing, cancel := context.WithTimeoutCause(ctx, databaseTime, errNoAnswer)
	defer cancel()
	expires, err := w.askDatabase(probing, s)
	s.pause = databasePause
	if err == nil {
		s.succeeded()
		s.CertificateExpiresAt = expires
		return
	}
	s.failed(w.config.Now(), redact.Reason(err))
	if s.ConsecutiveFailures < soonProbes {
		s.pause = every
	}
}

// soonProbes is how often a failing database is probed soon: a restart is over then.
const soonProbes = 4

func (w *Worker) askDatabase(ctx context.Context, s *state) (expires *time.Time, err error) {
	url, err := w.config.DatabaseURL(ctx, s.ProjectID)
	if err != nil {
		return nil, err
	}
	conn, err := w.config.Tenants.Connect(ctx, url, pgdb.Options{ApplicationName: "authsync probe", Project: s.ProjectID, ConnectTimeout: databaseTime})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var one int
	if err := conn.QueryRow(ctx, `SELECT 1`).Scan(&one); err != nil {
		return nil, err
	}
	return pgdb.CertificateEnd(conn), nil
}
