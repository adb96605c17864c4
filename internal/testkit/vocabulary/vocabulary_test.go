package vocabulary_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/testkit/vocabulary"
)

const root = "../../.."

// avoided lists words that no name uses, whatever it names.
func avoided() []vocabulary.Word {
	return []vocabulary.Word{
		// messages, events and outcomes
		{Not: "apply_deliveries", Say: "apply_inbox"},
		{Not: "apply_event", Say: "retry_event"},
		{Not: "stuck_deliveries", Say: "overdue_messages"},
		{Not: "watched_to", Say: "scanned_to"},
		{Not: "late", Say: "overdue"},
		{Not: "said_at", Say: "set_at"},
		{Not: "said", Anywhere: true, Say: "fields, set_at"},
		{Not: "says", Anywhere: true, Say: "fields"},
		// destinations and deliveries
		{Not: "told", Anywhere: true, Say: "delivered, notified"},
		{Not: "held_back", Anywhere: true, Say: "deletions_blocked_reason"},
		{Not: "holds_back", Anywhere: true, Say: "blocked_deliveries"},
		{Not: "relayed_to", Say: "cursor"},
		{Not: "flow", Anywhere: true, Say: "destination_progress"},
		{Not: "flows", Anywhere: true, Say: "destination_progress"},
		{Not: "put_off", Anywhere: true, Say: "deferral, deferred"},
		{Not: "open_until", Say: "breaker_open_until"},
		{Not: "opened", Say: "breaker_trips"},
		{Not: "failing_users", Say: "breaker_failed_records"},
		{Not: "link", Say: "external_id"},
		{Not: "account", Say: "scope of a rate limit"},
		{Not: "class", Say: "bucket of a rate limit"},
		{Not: "due", Say: "tat"},
		{Not: "because", Anywhere: true, Say: "reason, wait_reason"},
		{Not: "flying", Anywhere: true, Say: "in_flight"},
		{Not: "room", Anywhere: true, Say: "backpressure"},
		{Not: "crowd", Anywhere: true, Say: "backpressure"},
		{Not: "ahead", Anywhere: true, But: []string{"read_ahead"}, Say: "read_ahead"},
		{Not: "again", Anywhere: true, Say: "retry"},
		{Not: "built", Say: "cache"},
		// jobs
		{Not: "wakes", Anywhere: true, Say: "job_requests"},
		{Not: "asked", Anywhere: true, Say: "requested"},
		{Not: "rest", Say: "idle_since"},
		{Not: "refresh_jobs", Say: "job_requests"},
		{Not: "mend", Anywhere: true, Say: "rescue"},
		{Not: "trim", Anywhere: true, Say: "prune"},
		{Not: "troubles", Anywhere: true, Say: "consecutive_failures"},
		{Not: "wish", Anywhere: true, Say: "refresh_request"},
		{Not: "wishes", Anywhere: true, Say: "refresh_requests"},
		{Not: "want", Anywhere: true, Say: "request"},
		{Not: "surplus", Anywhere: true, Say: "orphaned"},
		{Not: "only_row", Say: "singleton"},
		{Not: "person", Say: "user"},
		// the rest
		{Not: "lane", Anywhere: true, Say: "tenant"},
		{Not: "heed", Anywhere: true, Say: "observe"},
		{Not: "hand", Anywhere: true, Say: "dispatch"},
		{Not: "words", Say: "describe"},
		{Not: "anew", Anywhere: true, Say: "recreated"},
		{Not: "take_over", Anywhere: true, Say: "adopt"},
		{Not: "fares", Anywhere: true, Say: "health"},
		{Not: "made_up", Anywhere: true, Say: "synthetic, test"},
	}
}

// avoidedInSQL adds words that mean something elsewhere: the queue backfills has the jobs of backfills.
func avoidedInSQL() []vocabulary.Word {
	return append(avoided(), vocabulary.Word{Not: "backfills", Say: "sync_runs"})
}

// kinds is avoided where people choose among event types.
func kinds() vocabulary.Word {
	return vocabulary.Word{Not: "kinds", Anywhere: true, Say: "event_types"}
}

// avoidedOnTheRoadOut adds words that mean something elsewhere: jobs, runs and changes of the feed have a kind.
func avoidedOnTheRoadOut() []vocabulary.Word {
	return append(avoided(), vocabulary.Word{Not: "kind", Anywhere: true, Say: "type, event_type"}, kinds())
}

func TestSQL(t *testing.T) {
	t.Parallel()
	names := make(map[string]string)
	for _, dir := range []string{"migrations", "sql"} {
		for file, text := range read(t, dir, ".sql") {
			for _, name := range sqlNames(text) {
				names[name] = file
			}
		}
	}
	for _, name := range []string{"inbox", "message_id", "apply_round", "wait_reason", "breaker_open_until"} {
		require.Contains(t, names, name)
	}
	check(t, avoidedInSQL(), names)

	names = make(map[string]string)
	for file, text := range read(t, "migrations/control", ".sql") {
		if strings.Contains(file, "destinations") {
			for _, name := range sqlNames(text) {
				names[name] = file
			}
		}
	}
	require.Contains(t, names, "event_types")
	check(t, avoidedOnTheRoadOut(), names)
}

func TestJobKinds(t *testing.T) {
	t.Parallel()
	names := make(map[string]string)
	goFiles(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "Kind" && n.Recv != nil && n.Type.Params.NumFields() == 0 {
					literals(n.Body, func(text string) { names[text] = path })
				}
			case *ast.GenDecl:
				if n.Tok == token.CONST && strings.HasPrefix(path, "internal/jobs/") {
					literals(n, func(text string) { names[text] = path })
				}
			}
			return true
		})
	})
	for _, name := range []string{"apply_inbox", "retry_event", "rescue_deliveries"} {
		require.Contains(t, names, name)
	}
	check(t, avoided(), names)
}

func TestLogMessages(t *testing.T) {
	t.Parallel()
	levels := []string{"Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs"}
	names := make(map[string]string)
	goFiles(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, isCall := n.(*ast.CallExpr)
			if !isCall {
				return true
			}
			method, isMethod := call.Fun.(*ast.SelectorExpr)
			if !isMethod || !slices.Contains(levels, method.Sel.Name) {
				return true
			}
			for _, arg := range call.Args { // the first text is the message
				if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					literals(lit, func(text string) { names[text] = path })
					break
				}
			}
			return true
		})
	})
	for _, name := range []string{"message_accepted", "event_failed", "delivery_attempted"} {
		require.Contains(t, names, name)
	}
	check(t, avoided(), names)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	metric := regexp.MustCompile(`^authsync(_[a-z]+)+$`)
	names := make(map[string]string)
	goFiles(t, func(path string, file *ast.File) {
		literals(file, func(text string) {
			if metric.MatchString(text) {
				names[text] = path
			}
		})
	})
	require.Contains(t, names, "authsync_messages_total")
	check(t, avoided(), names)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	file := "internal/cli/testdata/help.golden"
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	names := make(map[string]string)
	for _, found := range regexp.MustCompile(`(?m)^\$ authsync (.*)--help$|^ +(?:-\w, )?--([\w-]+)`).FindAllStringSubmatch(string(text), -1) {
		for _, name := range append(strings.Fields(found[1]), found[2]) {
			names[name] = file
		}
	}
	for _, name := range []string{"destinations", "replay", "since", "adopt"} {
		require.Contains(t, names, name)
	}
	check(t, avoidedOnTheRoadOut(), names)
}

func TestAPI(t *testing.T) {
	t.Parallel()
	file := "docs/openapi.yaml"
	text, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	var document map[string]any
	require.NoError(t, yaml.Unmarshal(text, &document))
	names := make(map[string]string)
	paths, isMap := document["paths"].(map[string]any)
	require.True(t, isMap)
	for path := range paths {
		for part := range strings.SplitSeq(path, "/") {
			names[part] = file
		}
	}
	apiFields(document, func(name string) { names[name] = file })
	for _, name := range []string{"deliveries", "event_id", "limit", "wait_reason"} {
		require.Contains(t, names, name)
	}
	check(t, append(avoided(), kinds()), names)
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"asked_at": "asked", "was-asked": "asked", "/x/{asked}": "asked", "tasked": "", "rate_class": "", "class": "class",
		"read_ahead_bytes": "", "ahead_bytes": "ahead", "take-over": "take_over", "breaker_open_until": "", "open_until": "open_until",
	} {
		word, _ := vocabulary.Find(avoided(), name)
		require.Equal(t, want, word.Not, name)
	}
	names := sqlNames("-- asked\nCREATE TABLE t (wishes text DEFAULT 'heed''s'); /* mend */ CREATE VIEW v AS SELECT 1 AS told; AS $fn$ trim $fn$")
	for name, is := range map[string]bool{"asked": false, "wishes": true, "heed": false, "s": false, "mend": false, "told": true, "trim": true} {
		require.Equal(t, is, slices.Contains(names, name), name)
	}
}

func check(t *testing.T, table []vocabulary.Word, names map[string]string) {
	t.Helper()
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if word, found := vocabulary.Find(table, name); found {
			faults = append(faults, fmt.Sprintf("%s: %s uses %q; say %s", names[name], name, word.Not, word.Say))
		}
	}
	require.Empty(t, faults, "names outside of the vocabulary")
}

var (
	sqlNoise = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'`)
	sqlName  = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
)

// sqlNames are all names in a text, those in the bodies of functions as well: every one of
// them is the name of an object, a column, a parameter or a variable, or a keyword.
func sqlNames(text string) []string {
	return sqlName.FindAllString(sqlNoise.ReplaceAllString(text, ""), -1)
}

// apiFields calls found with each property, parameter and listed value of a document.
func apiFields(in any, found func(name string)) {
	switch in := in.(type) {
	case map[string]any:
		if properties, ok := in["properties"].(map[string]any); ok {
			for name := range properties {
				found(name)
			}
		}
		if values, ok := in["enum"].([]any); ok {
			for _, value := range values {
				found(fmt.Sprint(value))
			}
		}
		if name, ok := in["name"].(string); ok && in["in"] != nil {
			found(name)
		}
		for _, value := range in {
			apiFields(value, found)
		}
	case []any:
		for _, value := range in {
			apiFields(value, found)
		}
	}
}

// literals calls found with each text that stands in a node.
func literals(in ast.Node, found func(text string)) {
	ast.Inspect(in, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				found(text)
			}
		}
		return true
	})
}

// goFiles calls each with all Go files but tests.
func goFiles(t *testing.T, each func(path string, file *ast.File)) {
	t.Helper()
	for path, text := range read(t, "internal", ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		each(path, file)
	}
}

// read returns the files below a folder by their path from the root.
func read(t *testing.T, dir, ext string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ext || strings.HasSuffix(path, ".down.sql") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		files[name] = string(text)
		return err
	}))
	require.NotEmpty(t, files, dir)
	return files
}
