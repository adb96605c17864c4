package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// downAfter is how long a project database must fail, and failedProbes how often, before it is a problem: a restart is none.
	downAfter    = time.Minute
	failedProbes = 2
	// certificateWithin is how long before its end a certificate is a problem.
	certificateWithin = 14 * 24 * time.Hour
)

// DatabaseSubject is the subject of the probe of a project's database in authsync.probes; the other subjects are providers.
const DatabaseSubject = "database"

const selectDatabases = `
	SELECT p.id, p.name, coalesce(b.failing_since <= $1::timestamptz - $2::interval AND b.consecutive_failures >= $3, false) AS down,
	       b.failing_since, coalesce(b.detail, ''), b.certificate_expires_at
	FROM authsync.probes AS b
	JOIN authsync.projects AS p ON p.id = b.project_id
	WHERE b.subject = 'database' AND (b.failing_since IS NOT NULL OR b.certificate_expires_at < $1::timestamptz + $4::interval)
	ORDER BY p.name`

// databases finds the project databases that do not answer, or whose certificate expires, as the probes saw them, and likewise
// the certificate of the control database. Its subject is not empty, as that of a project's is.
func databases(ctx context.Context, l *Look) (found []Finding, err error) {
	if found, err = controlCertificate(ctx, l); err != nil {
		return nil, err
	}
	type row struct {
		ProjectID    uuid.UUID
		Project      string
		Down         bool
		FailingSince *time.Time
		Detail       string
		Expires      *time.Time
	}
	rows, err := collect[row](ctx, l, selectDatabases, l.Now, downAfter, failedProbes, certificateWithin)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		r := &rows[i]
		if r.Down {
			found = append(found, Finding{
				Kind: ProjectDatabaseDown, ProjectID: &r.ProjectID,
				Detail: fmt.Sprintf("the database of project %s cannot be used since %s: %s", r.Project, Moment(*r.FailingSince), r.Detail),
				Next: "check the database, or give another URL: authsync projects update " + r.Project +
					" --database-url-file FILE; what arrives meanwhile is applied by itself then",
			})
		}
		if r.Expires != nil && r.Expires.Before(l.Now.Add(certificateWithin)) {
			found = append(found, Finding{
				Kind: CertificateExpiring, ProjectID: &r.ProjectID, Severity: Warning,
				Detail: fmt.Sprintf("the TLS certificate of the database of project %s expires at %s", r.Project, Moment(*r.Expires)),
				Next:   "renew it on the database server",
			})
		}
	}
	return found, nil
}

// controlCertificate looks at the connection of the evaluation itself, which the pool replaces every hour.
func controlCertificate(ctx context.Context, l *Look) (found []Finding, err error) {
	err = l.Pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		if end := pgdb.CertificateEnd(conn.Conn()); end != nil && end.Before(l.Now.Add(certificateWithin)) {
			found = []Finding{{
				Kind: CertificateExpiring, Subject: "control database", Severity: Warning,
				Detail: "the TLS certificate of the control database expires at " + Moment(*end),
				Next:   "renew it on the database server; within an hour the problem closes",
			}}
		}
		return nil
	})
	return found, err
}

const selectProviders = `
	SELECT p.id, p.name, b.subject, b.finding, coalesce(b.detail, '')
	FROM authsync.probes AS b
	JOIN authsync.integrations AS i ON i.project_id = b.project_id AND i.provider = b.subject
	JOIN authsync.projects AS p ON p.id = b.project_id
	WHERE b.finding IS NOT NULL
	ORDER BY p.name, b.subject`

// providers finds what the probes of providers saw. The subject is the provider.
func providers(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ProjectID                          uuid.UUID
		Project, Provider, Finding, Detail string
	}
	rows, err := collect[row](ctx, l, selectProviders)
	return each(rows, func(r row) Finding {
		f := Finding{Kind: r.Finding, ProjectID: &r.ProjectID, Subject: r.Provider}
		switch r.Finding {
		case CredentialsRejected:
			f.Detail = fmt.Sprintf("%s rejects the credentials of project %s: %s", r.Provider, r.Project, r.Detail)
			f.Next = fmt.Sprintf("store new ones: authsync integrations set %s %s --help names them", r.Project, r.Provider)
		default:
			f.Detail = fmt.Sprintf("%s does not deliver everything to project %s: %s", r.Provider, r.Project, r.Detail)
			f.Next = fmt.Sprintf("authsync redeliver %s %s --dry-run shows the streams; a stream that was disabled is enabled at the provider, "+
				"or by authsync with the option heal.reenable=true", r.Project, r.Provider)
		}
		return f
	}), err
}
