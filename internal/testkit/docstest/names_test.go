package docstest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/testkit/docstest"
)

// pages are all that a reader may read: by path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "sql/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		files = append(files, found...)
	}
	all := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name, err := filepath.Rel(root, file)
		require.NoError(t, err)
		all[name] = string(text)
	}
	require.Contains(t, all, "README.md")
	return all
}

// Every page with a block is walked through: a new page needs a test here.
func TestEveryPageWithABlockIsWalkedThrough(t *testing.T) {
	t.Parallel()
	tests, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var walks strings.Builder
	for _, file := range tests {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		walks.Write(text)
	}
	for name, page := range pages(t) {
		blocks, indented := docstest.Blocks(page)
		if len(blocks)+len(indented) > 0 && !strings.HasPrefix(name, "sql/") {
			require.Regexp(t, `file:\s+"`+regexp.QuoteMeta(name)+`"`, walks.String())
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for name, page := range all {
		for _, link := range docstest.Links(docstest.Prose(page)) {
			if strings.Contains(link, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(link, "#")
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
				_, err := os.Stat(filepath.Join(root, target))
				require.NoError(t, err, "%s leads to %s", name, link)
			}
			if anchor != "" {
				require.Contains(t, docstest.Anchors(all[target]), anchor, "%s leads to %s", name, link)
			}
		}
	}
}

// What the pages call a command, a flag, a setting or a target of make is one.
func TestNamesExist(t *testing.T) {
	t.Parallel()
	stage, err := theStage()
	require.NoError(t, err)
	output := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir, cmd.Env = stage.clone, environment()
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		return string(out)
	}
	settings, targets := output("bin/authsync", "config"), output("make", "help")
	help := make(map[string]string)
	helpOf := func(path string) string {
		if _, known := help[path]; !known {
			help[path] = output(append(append([]string{"bin/authsync"}, strings.Fields(path)...), "--help")...)
		}
		return help[path]
	}
	for name, page := range pages(t) {
		for _, text := range said(page) {
			for _, setting := range regexp.MustCompile(`\bAUTHSYNC_[A-Z_]+\b`).FindAllString(text, -1) {
				if !slices.Contains([]string{"AUTHSYNC_SECRET", "AUTHSYNC_WEBHOOK_URL", "AUTHSYNC_WEBHOOK_SECRET"}, setting) { // of the reader's own programs
					require.Contains(t, settings, setting+" ", "%s", name)
				}
			}
			if target := regexp.MustCompile(`^make ([a-z/]+)`).FindStringSubmatch(text); target != nil {
				require.Contains(t, targets, "make "+target[1]+" ", "%s", name)
			}
			for _, call := range regexp.MustCompile(`(?:^|[\s(;])(?:bin/)?authsync ((?:[a-z][\w|-]*)(?: [^\n;&|]*|\|)*)`).FindAllStringSubmatch(text, -1) {
				checkCall(t, name, call[1], helpOf)
			}
		}
	}
}

// said is what a page says of names: the code in its lines, and its commands.
func said(page string) []string {
	texts := docstest.Spans(docstest.Prose(page))
	blocks, _ := docstest.Blocks(page)
	for _, block := range blocks {
		if block.Lang == "sh" || block.Lang == "console" {
			for line := range strings.Lines(strings.ReplaceAll(block.Text, "\\\n", " ")) {
				texts = append(texts, docstest.WithoutComment(strings.TrimPrefix(line, "$ ")))
			}
		}
	}
	return texts
}

// checkCall looks for a command, such as "events list shop --json", and its flags in the
// help. "list|show" stands for several commands.
func checkCall(t *testing.T, page, call string, helpOf func(string) string) {
	t.Helper()
	words := strings.Fields(call)
	paths := []string{""}
	for len(words) > 0 && regexp.MustCompile(`^[a-z][a-z|-]*$`).MatchString(words[0]) {
		var next []string
		for _, path := range paths {
			for word := range strings.SplitSeq(words[0], "|") {
				if regexp.MustCompile(`(?m)^  ` + word + `\s`).MatchString(helpOf(path)) {
					next = append(next, strings.TrimSpace(path+" "+word))
				} else if path == "" || strings.Contains(helpOf(path), "[command]") {
					require.FailNow(t, "there is no such command", "%s: authsync %s", page, call)
				}
			}
		}
		if len(next) == 0 {
			break // an argument
		}
		paths, words = next, words[1:]
	}
	for _, word := range words {
		if flag := regexp.MustCompile(`^--[a-z-]+`).FindString(word); flag != "" {
			for _, path := range paths {
				require.Contains(t, helpOf(path), flag, "%s: authsync %s", page, call)
			}
		}
	}
}

// What the pages call a route of the API is described.
func TestRoutesAreDescribed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "openapi.yaml"))
	require.NoError(t, err)
	var description struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	require.NoError(t, yaml.Unmarshal(text, &description))
	var routes []*regexp.Regexp
	for path := range description.Paths {
		routes = append(routes, regexp.MustCompile("^"+regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`)+"$"))
	}
	const prefix = "/api/capydb/v1"
	for name, page := range pages(t) {
		for _, path := range regexp.MustCompile(regexp.QuoteMeta(prefix)+`(/[^\s"'?`+"`"+`)]+)`).FindAllStringSubmatch(page, -1) {
			require.True(t, slices.ContainsFunc(routes, func(route *regexp.Regexp) bool { return route.MatchString(path[1]) }),
				"%s: %s is not described in docs/openapi.yaml", name, path[0])
		}
	}
}
