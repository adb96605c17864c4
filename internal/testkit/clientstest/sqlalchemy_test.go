package clientstest_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestSQLAlchemyReadsTheMirror(t *testing.T) {
	t.Parallel()
	python := withSQLAlchemy(t)
	tool(t, python != "", "SQLAlchemy", "apt-get install python3-sqlalchemy python3-psycopg2")
	pool := mirror(t)
	dir := t.TempDir()
	generated(t, "sqlalchemy", filepath.Join(dir, "capydb_auth.py"))
	program, err := programs.ReadFile("testdata/read.py")
	require.NoError(t, err)
	write(t, filepath.Join(dir, "read.py"), string(program))
	before := definition(t, pool)
	url := strings.Replace(pgtest.URL(t, pool), "postgres://", "postgresql+psycopg2://", 1)
	require.JSONEq(t, `{
		"memberships": [["org_1", "Acme", ["admin", "billing"]], ["org_9", null, null]],
		"sessions": ["ada@example.com"],
		"raw": {"a": [1]},
		"active": ["user_1"],
		"rows": {
			"users": 2, "organizations": 2, "memberships": 2, "invitations": 0, "sessions": 1,
			"active_users": 1, "active_organizations": 2, "active_memberships": 2,
			"user_emails": 0, "user_identities": 0, "user_phones": 0
		}
	}`, output(t, dir, []string{"DATABASE_URL=" + url, "PYTHONDONTWRITEBYTECODE=1"}, python, "read.py"))
	require.Equal(t, before, definition(t, pool))
}

// withSQLAlchemy returns the Python that has SQLAlchemy and a driver: that of the system's packages may not be the first.
func withSQLAlchemy(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import sqlalchemy, psycopg2").Run() == nil {
			return python
		}
	}
	return ""
}
