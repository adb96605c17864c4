// Package architecture_test keeps docs/architecture.md true to the code.
package architecture_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/registry"
)

const root = "../../.."

// goSymbols lists what the product's packages declare, as docs/architecture.md writes it: pkg.Name, (*pkg.Type).Method.
func goSymbols(t *testing.T) map[string]bool {
	t.Helper()
	symbols := make(map[string]bool)
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := file.Name.Name
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				symbols[functionName(pkg, d)] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, isType := spec.(*ast.TypeSpec); isType {
						symbols[pkg+"."+s.Name.Name] = true
					}
				}
			}
		}
		return nil
	}))
	return symbols
}

func functionName(pkg string, d *ast.FuncDecl) string {
	if d.Recv == nil {
		return pkg + "." + d.Name.Name
	}
	if star, isPointer := d.Recv.List[0].Type.(*ast.StarExpr); isPointer {
		if name, isName := star.X.(*ast.Ident); isName {
			return "(*" + pkg + "." + name.Name + ")." + d.Name.Name
		}
	}
	if name, isName := d.Recv.List[0].Type.(*ast.Ident); isName {
		return pkg + "." + name.Name + "." + d.Name.Name
	}
	return ""
}

// Whoever follows the pages about the code finds what they name.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	symbols := goSymbols(t)
	for name, atLeast := range map[string]int{"architecture.md": 50, "extending.md": 20} {
		text, err := os.ReadFile(filepath.Join(root, "docs", name))
		require.NoError(t, err)
		require.LessOrEqual(t, strings.Count(string(text), "\n"), 3*50, "it fits three screens")
		require.Greater(t, namesThatExist(t, string(text), symbols), atLeast, name)
	}
}

// namesThatExist requires that all exists that a page names, and returns how many names it has.
func namesThatExist(t *testing.T, text string, symbols map[string]bool) (checked int) {
	t.Helper()
	dirs := map[string]string{"authsync": "control", "capydb_auth": "project"}
	isGo := regexp.MustCompile(`^(\(\*[a-z]+\.\w+\)|[a-z]+)\.\w+$`)
	for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		name := quoted[1]
		schema, function, _ := strings.Cut(name, ".")
		switch {
		case strings.Contains(name, "/"):
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
			require.NoError(t, err)
		case dirs[schema] != "":
			// Some are rendered from templates: the golden dump has all.
			golden, err := os.ReadFile(filepath.Join(root, "internal", "schema", "testdata", dirs[schema]+".sql"))
			require.NoError(t, err)
			require.Regexp(t, `FUNCTION `+schema+`\.`+function+`\(`, string(golden), name)
		case isGo.MatchString(name) && name != "pkg.Func":
			require.True(t, symbols[name], "no Go symbol %s", name)
		default:
			continue
		}
		checked++
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		require.FileExists(t, filepath.Join(root, "docs", link[1]))
	}
	return checked
}

// The database, the API's description and the commands know the types of destination of the registry.
func TestEveryDestinationTypeIsKnown(t *testing.T) {
	t.Parallel()
	for file, list := range map[string]string{
		"internal/schema/testdata/control.sql": `CONSTRAINT destinations_type_check CHECK .*ARRAY\[(.*)\]`,
		"docs/openapi.yaml":                    `DestinationType: \{type: string, enum: \[(.*)\]\}`,
		"internal/cli/destinations_create.go":  `"type", "", "([a-z, ]+)"`,
	} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		require.NoError(t, err)
		found := regexp.MustCompile(list).FindStringSubmatch(string(text))
		require.Len(t, found, 2, file)
		names := regexp.MustCompile(`[a-z_]+`).FindAllString(strings.NewReplacer("::text", "", " or ", " ").Replace(found[1]), -1)
		require.ElementsMatch(t, registry.Names(), names, file)
	}
}

// Whoever opens a package that works with a database or with jobs learns from its comment what a crash leaves.
func TestPackageCommentsSayWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	comments, durable := make(map[string]string), make(map[string]bool)
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "testkit" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		comments[filepath.Dir(path)] += file.Doc.Text()
		for _, imported := range file.Imports {
			if strings.HasPrefix(imported.Path.Value, `"github.com/jackc/pgx/v5`) || strings.HasPrefix(imported.Path.Value, `"github.com/riverqueue/river`) {
				durable[filepath.Dir(path)] = true
			}
		}
		return nil
	}))
	require.Greater(t, len(durable), 30)
	for dir := range durable {
		require.Regexp(t, `(?i)\b(dies|died|killed)\b`, comments[dir], "%s: say in the comment of the package what is left if the process dies", dir)
	}
}
