package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/retention"
)

func keepFlag(cmd *cobra.Command, keep *[]string) {
	cmd.Flags().StringArrayVar(keep, "keep", nil, "how many days a part is kept, as PART=DAYS or PART=default; may be repeated")
}

// addKeep puts the flags --keep into the body of a call.
func addKeep(in map[string]any, keep []string) error {
	days := map[string]any{}
	for _, text := range keep {
		part, value, found := strings.Cut(text, "=")
		if _, err := retention.Known(part); err != nil || !found {
			return usagef("--keep is %.60q: it takes inbox, ledger, changes or deliveries, such as --keep inbox=7", text)
		}
		if _, twice := days[part]; twice {
			return usagef("--keep %s is given twice: give it once", part)
		}
		if value == "default" {
			days[part] = nil
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(value, "d"))
		if err != nil {
			return usagef("--keep is %.60q: it takes a number of days, or default", text)
		}
		days[part] = n
	}
	if len(days) > 0 {
		in["keep_days"] = days
	}
	return nil
}

// printRetention prints how long the parts of a project's history are kept, and where that comes from.
func (s *session) printRetention(p client.Project) error {
	t := table{head: []string{"PART", "KEPT FOR", "FROM"}}
	for _, part := range retention.Parts() {
		r, known := p.Retention[string(part)]
		if !known { // an older server
			continue
		}
		kept := "forever"
		if r.Days != nil {
			kept = strconv.Itoa(*r.Days) + " day" + map[bool]string{false: "s"}[*r.Days == 1]
		}
		from := map[string]string{
			retention.FromProject: "the project",
			retention.FromServer:  "the server's default",
			retention.Raised:      "raised, to know all messages that can be repeated",
		}[r.Source]
		t.add(string(part), kept, from)
	}
	if len(t.rows) == 0 {
		return nil
	}
	if err := s.printf("\n"); err != nil {
		return err
	}
	if err := s.print(t); err != nil {
		return err
	}
	return s.printHeld(p.Pruning)
}

// printHeld prints why parts of the history stay beyond that.
func (s *session) printHeld(pruned *client.Pruning) error {
	if pruned == nil || pruned.HeldReason == nil {
		return nil
	}
	since := ""
	if pruned.HeldSince != nil {
		since = " since " + clock(*pruned.HeldSince)
	}
	return s.printf("\nChanges are kept for longer%s: %s.\n", since, printable(*pruned.HeldReason))
}
