// Package statements_test has PostgreSQL prepare every SQL statement that the product's Go code contains as a constant. A
// statement that names a column or a function that no longer exists fails here, whether or not another test runs it.
package statements_test

import (
	"context"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// statement is a constant of the code that is SQL.
type statement struct {
	pos token.Position
	sql string
}

// exception is a constant that is not prepared, known by its end.
type exception struct{ end, reason string }

func exceptions() []exception {
	return []exception{
		{"WITH CHECK OPTION violation", "an error message of PostgreSQL"},
		{"DELETE FROM %s;", "shown to a person, who runs it"},
		{"UPDATE %s SET version = %d, dirty = false;", "shown to a person, who runs it"},
		{"e.message_id\nFROM", "followed by what chooses the events, which depends on the filter"},
		{"FROM authsync.event_outcomes AS o\n\tWHERE o.project_id = $1 AND", "the beginning of four statements that are prepared"},
		{"FROM authsync.api_keys WHERE revoked_at IS NULL AND", "the beginning of two statements that are prepared"},
	}
}

var beginsLikeSQL = regexp.MustCompile(`^\s*(--.*\n\s*)*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CALL|MERGE INTO)\s`)

func TestEveryStatementIsPrepared(t *testing.T) {
	t.Parallel()
	databases := map[string]*pgx.Conn{
		"authsync":    connect(t, pgtest.URL(t, pgtest.Control(t))),
		"capydb_auth": connect(t, pgtest.URL(t, pgtest.Project(t))),
	}
	found := find(t, "github.com/authsync/authsync/internal/...", "github.com/authsync/authsync/cmd/...")
	require.Greater(t, len(found), 100, "statements are found at all")
	excepted := make(map[string]bool)
	for _, s := range found {
		if end := exceptionOf(s.sql); end != "" {
			excepted[end] = true
			continue
		}
		schema := "authsync"
		if !strings.Contains(s.sql, "authsync.") && strings.Contains(s.sql, "capydb_auth") {
			schema = "capydb_auth"
		}
		if _, err := databases[schema].Prepare(context.Background(), "", s.sql); err != nil {
			t.Errorf("%s: %v\n%s", s.pos, err, s.sql)
		}
	}
	for _, e := range exceptions() {
		require.True(t, excepted[e.end], "no constant ends with %q any more: remove the exception (%s)", e.end, e.reason)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

func exceptionOf(sql string) string {
	for _, e := range exceptions() {
		if strings.HasSuffix(strings.TrimSpace(sql), e.end) {
			return e.end
		}
	}
	return ""
}

// find returns the statements of packages: the longest constants, whose parts may be constants of other packages.
func find(t *testing.T, patterns ...string) (found []statement) {
	t.Helper()
	all, err := packages.Load(&packages.Config{
		Context: t.Context(),
		Mode:    packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, patterns...)
	require.NoError(t, err)
	for _, pkg := range all {
		require.Empty(t, pkg.Errors)
		if strings.Contains(pkg.PkgPath, "/internal/testkit/") {
			continue
		}
		for _, file := range pkg.Syntax {
			ast.Inspect(file, func(node ast.Node) bool {
				sum, isSum := node.(*ast.BinaryExpr)
				if isSum && sum.Op == token.ADD && text(pkg.TypesInfo, sum) == "" {
					// It is put together when it runs: its parts are no statements.
					return false
				}
				expr, isExpr := node.(ast.Expr)
				if !isExpr {
					return true
				}
				sql := text(pkg.TypesInfo, expr)
				if sql == "" {
					return true
				}
				if _, isName := expr.(*ast.Ident); !isName && beginsLikeSQL.MatchString(sql) {
					found = append(found, statement{pkg.Fset.Position(expr.Pos()), sql})
				}
				return false
			})
		}
	}
	return found
}

// text is the value of a constant expression of type string; empty: it is none.
func text(info *types.Info, expr ast.Expr) string {
	value := info.Types[expr].Value
	if value == nil || value.Kind() != constant.String {
		return ""
	}
	return constant.StringVal(value)
}
