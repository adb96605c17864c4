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

// Whoever follows docs/architecture.md finds what it names.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(text), "\n"), 3*50, "it fits three screens")
	symbols := goSymbols(t)
	dirs := map[string]string{"authsync": "control", "capydb_auth": "project"}
	isGo := regexp.MustCompile(`^(\(\*[a-z]+\.\w+\)|[a-z]+)\.\w+$`)
	checked := 0
	for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(string(text), -1) {
		name := quoted[1]
		schema, function, _ := strings.Cut(name, ".")
		switch {
		case strings.Contains(name, "/"):
			_, err := os.Stat(filepath.Join(root, name))
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
	require.Greater(t, checked, 40)
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(string(text), -1) {
		require.FileExists(t, filepath.Join(root, "docs", link[1]))
	}
}
