package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newDestinationsPreview() *cobra.Command {
	var user, record string
	var change int64
	cmd := &cobra.Command{
		Use:   "preview PROJECT NAME --user ID",
		Short: "Show what a user's newest change would send, without sending it",
		Long: `Shows whether the destination wants the newest change of a user or of another record,
or the change of an id, and the requests that it would make, secrets masked. Nothing is
sent.`,
		Example: "  authsync destinations preview shop crm --user 'auth0|demo-ada'\n" +
			"  authsync destinations preview shop app --record organization/org_123\n" +
			"  authsync destinations preview shop crm --change 17 --json",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := client.PreviewOrder{UserID: user, ChangeID: change}
			var err error
			if in.RecordType, in.RecordID, err = splitRecord(record); err != nil {
				return err
			}
			if len(slices.DeleteFunc([]bool{user != "", record != "", change != 0}, func(given bool) bool { return !given })) != 1 {
				return usagef("give either --user, the id of a user, --record, such as organization/org_123, or --change, the id of a change")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			p, err := c.Preview(cmd.Context(), args[0], args[1], in)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(p)
			}
			return s.printPreview(p)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the id of a user, whose newest change is taken")
	cmd.Flags().StringVar(&record, "record", "", "a record, such as organization/org_123, whose newest change is taken")
	cmd.Flags().Int64Var(&change, "change", 0, "the id of a change (capydb_auth.changes.id)")
	return cmd
}

func (s *session) printPreview(p client.Preview) error {
	verdict := "Not wanted"
	if p.Wanted {
		verdict = "Wanted"
	}
	if p.Why != "" {
		verdict += ": " + printable(p.Why)
	}
	if err := s.printf("%s.\n", strings.TrimSuffix(verdict, ".")); err != nil {
		return err
	}
	for _, r := range p.Requests {
		if err := s.printRequest(r); err != nil {
			return err
		}
	}
	return s.notice("Nothing was sent.")
}

// printRequest prints a request as it would go over the wire, the body indented.
func (s *session) printRequest(r client.Request) error {
	var b strings.Builder
	b.WriteString("\n")
	if r.Note != "" {
		b.WriteString("# " + printable(r.Note) + "\n")
	}
	b.WriteString(headOf(r.Method, r.URL, r.Headers))
	if body := bytes.TrimSpace(r.Body); len(body) > 0 && !bytes.Equal(body, []byte("null")) {
		b.WriteString("\n" + bodyText(body) + "\n")
	}
	return s.printf("%s", b.String())
}

// headOf gives all of a request but its body.
func headOf(method, url string, headers map[string][]string) string {
	var b strings.Builder
	b.WriteString(printable(method) + " " + printable(url) + "\n")
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			b.WriteString(printable(name) + ": " + printable(value) + "\n")
		}
	}
	return b.String()
}

// bodyText gives a body for people: JSON indented, a text as it is.
func bodyText(body json.RawMessage) string {
	var text string
	if json.Unmarshal(body, &text) == nil {
		return printable(text)
	}
	var indented bytes.Buffer
	if json.Indent(&indented, body, "", "  ") != nil {
		return printable(string(body))
	}
	lines := strings.Split(indented.String(), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}
