// Command manpages writes the manual pages of authsync, one for each command, from what
// --help prints: manpages DIRECTORY VERSION DATE.
//
// Text is laid out for a terminal already, so pages show it as it is. The libraries that make
// pages of commands take it for Markdown, and set lists and asterisks anew.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/cli"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: manpages DIRECTORY VERSION DATE")
		os.Exit(2)
	}
	if err := write(os.Args[1], edition{version: os.Args[2], date: os.Args[3]}); err != nil {
		fmt.Fprintln(os.Stderr, "manpages:", err)
		os.Exit(1)
	}
}

// edition is what the pages are of.
type edition struct {
	version string
	date    string // begins with YYYY-MM-DD
}

func write(dir string, of edition) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, cmd := range everyCommand(cli.Root()) {
		file := filepath.Join(dir, pageName(cmd)+".1")
		if err := os.WriteFile(file, []byte(page(cmd, of)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// everyCommand lists a command and those below it that help shows.
func everyCommand(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, everyCommand(sub)...)
		}
	}
	return all
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page writes a command's page in the man macros of roff.
func page(cmd *cobra.Command, of edition) string {
	cmd.InitDefaultHelpFlag()
	name, date := pageName(cmd), of.date
	if len(date) > len("2006-01-02") {
		date = date[:len("2006-01-02")]
	}
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 %s %s %s\n", quoted(strings.ToUpper(name)), quoted(date), quoted("authsync "+of.version), quoted("authsync manual"))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escape(name), escape(cmd.Short))
	verbatim(&b, "SYNOPSIS", cmd.UseLine())
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	verbatim(&b, "DESCRIPTION", text)
	if cmd.HasAvailableLocalFlags() {
		verbatim(&b, "OPTIONS", cmd.LocalFlags().FlagUsages())
	}
	if cmd.HasAvailableInheritedFlags() {
		verbatim(&b, "GLOBAL OPTIONS", cmd.InheritedFlags().FlagUsages())
	}
	if cmd.Example != "" {
		verbatim(&b, "EXAMPLES", cmd.Example)
	}
	var others []string
	if cmd.HasParent() {
		others = append(others, pageName(cmd.Parent()))
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			others = append(others, pageName(sub))
		}
	}
	b.WriteString(".SH SEE ALSO\n")
	for i, other := range others {
		end := ","
		if i == len(others)-1 {
			end = ""
		}
		fmt.Fprintf(&b, ".BR %s (1)%s\n", escape(other), end)
	}
	return b.String()
}

// verbatim writes a section whose lines stay as they are.
func verbatim(b *strings.Builder, title, text string) {
	fmt.Fprintf(b, ".SH %s\n.nf\n%s\n.fi\n", quoted(title), escape(strings.Trim(text, "\n")))
}

// quoted is an argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }

// escape takes their meaning from the characters that roff reads: the backslash, the hyphen
// and, at the beginning of a line, what marks a macro.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "’", "'").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
