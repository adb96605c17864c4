package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/record"
)

// longWait is from when on a waiting run says how long it has waited.
const longWait = 10 * time.Minute

// barCells is the length of a progress bar.
const barCells = 24

// progress says in a line how far a run is, with a bar of so many cells
// where the total is known.
func progress(run client.Run, cells int) string {
	parts := []string{run.Provider, run.State}
	if phase := phaseWords(run.Phase); phase != "" && run.FinishedAt == nil {
		parts = append(parts, phase)
	}
	users, others := readByType(run)
	if run.Total != nil && *run.Total > 0 {
		share := min(float64(users)/float64(*run.Total), 1)
		if cells > 0 {
			full := int(share * float64(cells))
			parts = append(parts, "["+strings.Repeat("#", full)+strings.Repeat("-", cells-full)+"]")
		}
		parts = append(parts, fmt.Sprintf("%5.1f%%", 100*share), thousands(users)+" of "+thousands(*run.Total)+" users")
	} else {
		parts = append(parts, thousands(users)+" users")
	}
	parts = append(parts, others...)
	if run.PerSecond != nil {
		parts = append(parts, thousands(int64(*run.PerSecond))+"/s")
	}
	if run.SecondsLeft != nil {
		parts = append(parts, duration(*run.SecondsLeft)+" left")
	}
	if run.Failed > 0 {
		parts = append(parts, thousands(run.Failed)+" failed")
	}
	if run.WaitReason != nil {
		parts = append(parts, "waits: "+printable(*run.WaitReason))
		if run.UpdatedAt.Sub(run.ProgressedAt) > longWait {
			parts = append(parts, "last progress: "+clock(run.ProgressedAt))
		}
	}
	return strings.Join(parts, "  ")
}

// readByType is how many users a run has read, and what else, such as "12 organizations".
func readByType(run client.Run) (users int64, others []string) {
	for _, d := range record.Types() {
		n := run.Report.Records[string(d.Type)]
		if d.Type == record.User || n == 0 {
			continue
		}
		others = append(others, numberOf(n, d))
	}
	return run.Users(), others
}

// numberOf is a number of records: "1,200 users", "1 membership".
func numberOf(n int64, d record.Definition) string {
	if n == 1 {
		return "1 " + string(d.Type)
	}
	return thousands(n) + " " + d.Table
}

// readWords says what a run has read: "1,200 users, 3 organizations".
func readWords(run client.Run) string {
	users, others := readByType(run)
	d, _ := record.Of(record.User)
	return strings.Join(append([]string{numberOf(users, d)}, others...), ", ")
}

// phaseWords is a phase behind the walk, as a person reads it.
func phaseWords(phase string) string {
	switch phase {
	case "records":
		return "reads organizations, memberships and invitations"
	case "orphaned":
		return "looks for records that the provider does not have"
	case "confirm":
		return "asks the provider about single records"
	default:
		return ""
	}
}

// thousands writes a number with separators.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// duration writes seconds as people read them.
func duration(seconds float64) string {
	d := time.Duration(min(seconds, 1e8) * float64(time.Second)).Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// bar writes the progress over itself, in one line of a terminal.
func (s *session) bar(columns int, noted *int) func(client.Run) error {
	return func(run client.Run) error {
		const clearLine = "\r\x1b[K"
		for _, note := range newNotes(run, noted) {
			if err := s.printf("%sNote: %s.\n", clearLine, printable(note)); err != nil {
				return err
			}
		}
		line := clearLine + shorten(progress(run, barCells), columns-1)
		if run.FinishedAt != nil {
			line += "\n"
		}
		return s.printf("%s", line)
	}
}

// plain writes a line when the state changes, and else now and then; on
// standard error, so that what scripts read holds the result alone.
func (s *session) plain(noted *int) func(client.Run) error {
	state, written := "", time.Time{}
	return func(run client.Run) error {
		for _, note := range newNotes(run, noted) {
			if err := s.notice("Note: %s.", printable(note)); err != nil {
				return err
			}
		}
		now := s.Now()
		if run.State == state && now.Sub(written) < plainEvery {
			return nil
		}
		state, written = run.State, now
		return s.notice("%s", progress(run, 0))
	}
}

// newNotes returns the notes of an unfinished run that were not shown yet: what it will cost is of
// use only before. Those of a finished one are in its report.
func newNotes(run client.Run, shown *int) []string {
	if run.FinishedAt != nil || len(run.Report.Notes) <= *shown {
		return nil
	}
	notes := run.Report.Notes[*shown:]
	*shown = len(run.Report.Notes)
	return notes
}
