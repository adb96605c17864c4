package docstest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/docstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// walk is a page and what its reader does beside what it says.
type walk struct {
	file string
	// begin sets the scene.
	begin func(*testing.T) *scene
	// commands and blocks say, by the command without its comment and by the first line of
	// the block, what is special about it.
	commands map[string]step
	blocks   map[string]step
	// paste says what a reader puts in place of something: of example.com for instance.
	paste func(*scene) []string // old, new, old, new, …
	// end looks at what all of it came to.
	end func(*scene)
}

// step is what a reader does with one command or block.
type step struct {
	before, after func(*scene)
	input         func(*scene) string  // what is typed
	status        int                  // the exit status that it has
	beside        string               // it runs in another terminal, and has begun when it prints this
	instead       func(*scene, string) // how the block is run
	untested      string               // why it is not
}

// run walks through a page.
func (w walk) run(t *testing.T) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, w.file))
	require.NoError(t, err)
	blocks, indented := docstest.Blocks(string(page))
	require.Empty(t, indented, "%s: fence what is indented in these lines, with its language", w.file)
	s := w.begin(t)
	met := make(map[string]bool)
	for _, block := range blocks {
		where := w.file + ":" + block.First()
		special, found := w.blocks[block.First()]
		if found {
			met[block.First()] = true
			s.call(special.before)
		}
		switch {
		case special.untested != "":
			t.Logf("NOT RUN: %s line %d (%s): %s", w.file, block.Line, block.First(), special.untested)
		case special.instead != nil:
			special.instead(s, s.pasted(w, block.Text))
		case block.Lang == "sh":
			for _, command := range docstest.Commands(block.Text, docstest.Complete(t.Context())) {
				w.command(t, s, command, met)
			}
		case block.Lang == "console":
			w.console(t, s, block)
		case block.Lang == "sql":
			s.query(s.pasted(w, block.Text))
		case block.Lang == "json":
			require.True(t, json.Valid([]byte(s.pasted(w, block.Text))), "this is not JSON: %s", where)
		default:
			require.FailNow(t, "nothing says how to run this", "%s line %d is of language %q; say in its walk how it is run, or why it is not",
				w.file, block.Line, block.Lang)
		}
		if found {
			s.call(special.after)
		}
	}
	for _, steps := range []map[string]step{w.commands, w.blocks} {
		for name := range steps {
			require.True(t, met[name], "%s has no command or block %q any more: mend its walk", w.file, name)
		}
	}
	s.call(w.end)
}

func (s *scene) call(do func(*scene)) {
	if do != nil {
		do(s)
	}
}

// pasted puts what a reader knows in place of what the page leaves open.
func (s *scene) pasted(w walk, text string) string {
	if w.paste == nil {
		return text
	}
	return strings.NewReplacer(w.paste(s)...).Replace(text)
}

// command runs one, and requires that it succeeds, or fails as its step says.
func (w walk) command(t *testing.T, s *scene, command string, met map[string]bool) {
	t.Helper()
	name := docstest.WithoutComment(command)
	special := w.commands[name]
	met[name] = true
	s.call(special.before)
	switch {
	case special.untested != "":
		t.Logf("NOT RUN: %s (%s): %s", w.file, name, special.untested)
		return
	case special.beside != "":
		program, err := docstest.Start(t.Context(), s.dir, name, environment("AUTHSYNC_LISTEN=127.0.0.1:0"))
		require.NoError(t, err)
		s.server = program
		waittest.Until(t, func() bool {
			select {
			case <-program.Done():
				require.FailNow(t, name+" ended", program.Output())
			default:
			}
			return strings.Contains(program.Output(), special.beside)
		})
	default:
		input := ""
		if special.input != nil {
			input = special.input(s)
		}
		text := s.pasted(w, command)
		require.NotContains(t, text, "…", "a reader does not know what to put there: say it in the walk of %s", w.file)
		require.NotContains(t, text, "example.com", "nothing answers there: say in the walk of %s what a reader puts there", w.file)
		out, status, err := s.shell.Run(text, input)
		require.NoError(t, err)
		require.Equal(t, special.status, status, "%s: %s\n%s", w.file, text, out)
		s.printed = append(s.printed, out)
	}
	s.call(special.after)
}

// console runs the commands of a block and compares what they print with what it shows.
func (w walk) console(t *testing.T, s *scene, block docstest.Block) {
	t.Helper()
	for part := range strings.SplitSeq("\n"+block.Text, "\n$ ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		command, shown, _ := strings.Cut(part, "\n")
		out, _, err := s.shell.Run(s.pasted(w, command)+" 2>/dev/null", "") // where its progress goes
		require.NoError(t, err)
		require.True(t, docstest.Matches(s.pasted(w, shown), out), "%s line %d shows\n%s\nbut it prints\n%s",
			w.file, block.Line, s.pasted(w, shown), out)
	}
}

// query runs statements where they belong. What they look for is theirs to find or not.
func (s *scene) query(statements string) {
	s.t.Helper()
	url := s.project
	if strings.Contains(statements, "authsync.") && !strings.Contains(statements, "capydb_auth.") {
		url = s.control
	}
	s.execute(url, strings.ReplaceAll(statements, "$1", "0"))
}

// last is what a command printed last that contains the text.
func (s *scene) last(text string) string {
	s.t.Helper()
	for _, out := range slices.Backward(s.printed) {
		if strings.Contains(out, text) {
			return out
		}
	}
	require.FailNow(s.t, "no command has printed "+text, strings.Join(s.printed, "\n"))
	return ""
}
