// Package docstest runs the README and the pages of docs/ word by word, as somebody would
// who reads them: each command in a shell, each statement in the database that it is meant
// for, with stand-ins in place of providers, CRMs and receivers. Only tests import it.
//
// A page is a walk. What its reader does beside the commands (paste a secret that was
// printed, set something up at the provider) stands in the walk's table, as do the few
// blocks that cannot be run, with the reason; the test prints these. Everything else is
// run: a new block needs no entry, and an entry without its block is an error.
package docstest

import (
	"regexp"
	"strings"
)

// Block is a fenced block of a page.
type Block struct {
	Line int
	Lang string
	Text string
}

// First is the first line, by which a walk names the block.
func (b Block) First() string {
	first, _, _ := strings.Cut(b.Text, "\n")
	return first
}

// Blocks returns the fenced blocks of a page in their order, and the lines of blocks that
// are indented instead, which say no language.
func Blocks(page string) (blocks []Block, indented []int) {
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		lang, fence := strings.CutPrefix(lines[i], "```")
		if !fence {
			if strings.HasPrefix(lines[i], "    ") && (i == 0 || lines[i-1] == "") {
				indented = append(indented, i+1)
			}
			continue
		}
		block := Block{Line: i + 1, Lang: lang}
		var text []string
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			text = append(text, lines[i])
		}
		block.Text = strings.Join(text, "\n")
		blocks = append(blocks, block)
	}
	return blocks, indented
}

// Prose returns a page without its blocks.
func Prose(page string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(page, "")
}

var (
	span   = regexp.MustCompile("`([^`\n]+)`")
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	header = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// Spans returns what stands between backquotes.
func Spans(prose string) []string { return firsts(span, prose) }

// Links returns where links lead.
func Links(prose string) []string { return firsts(link, prose) }

// Anchors returns the names that headings are linked by.
func Anchors(page string) []string {
	var names []string
	for _, text := range firsts(header, Prose(page)) {
		name := strings.ToLower(strings.ReplaceAll(text, " ", "-"))
		names = append(names, regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(name, ""))
	}
	return names
}

func firsts(expression *regexp.Regexp, text string) []string {
	var all []string
	for _, match := range expression.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}

var comment = regexp.MustCompile(`(^|\s+)# .*$`)

// Commands cuts a block into its commands, which may go over several lines. complete says
// whether a text is a whole command.
func Commands(text string, complete func(string) bool) []string {
	var commands []string
	var part string
	for line := range strings.Lines(text) {
		part += line
		whole := strings.TrimRight(part, "\n")
		if strings.TrimSpace(comment.ReplaceAllString(whole, "")) == "" && !strings.HasPrefix(strings.TrimSpace(whole), "authsync") {
			part = ""
			continue
		}
		if !strings.HasSuffix(whole, "\\") && complete(whole) {
			commands = append(commands, whole)
			part = ""
		}
	}
	if strings.TrimSpace(part) != "" {
		commands = append(commands, part)
	}
	return commands
}

// WithoutComment returns a command as a walk names it.
func WithoutComment(command string) string {
	return strings.TrimSpace(regexp.MustCompile(`\s+#\s.*$`).ReplaceAllString(command, ""))
}

// Matches reports whether output is what a page shows: "…" stands for anything, white
// space counts as one blank, and a time that something took is not compared.
func Matches(shown, output string) bool {
	blank := regexp.MustCompile(`\s+`)
	took := regexp.MustCompile(`\b\d+(\.\d+)?(ms|s)\b`)
	flat := func(text string) string {
		return took.ReplaceAllString(blank.ReplaceAllString(strings.TrimSpace(text), " "), "1s")
	}
	parts := strings.Split(flat(shown), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*?") + `$`).MatchString(flat(output))
}
