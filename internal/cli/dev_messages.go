package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/ingest/inbox"
)

// devMessage is a line of dev's --json for a message.
type devMessage struct {
	ReceivedAt time.Time `json:"received_at"`
	// Project is left out, and Path is there, where no project is known.
	Project   string       `json:"project,omitempty"`
	Path      string       `json:"path,omitempty"`
	Provider  string       `json:"provider"`
	MessageID string       `json:"message_id,omitempty"`
	InboxID   int64        `json:"inbox_id,omitempty"`
	Status    int          `json:"status"`
	Reason    string       `json:"reason,omitempty"`
	Detail    string       `json:"detail,omitempty"`
	Tally     *inbox.Tally `json:"tally,omitempty"`
	// Others is how many other requests of no project are not shown.
	Others int64 `json:"others,omitempty"`
}

// showMessage writes a line about a webhook. That a line cannot be written is no reason to stop.
func (s *session) showMessage(d *app.Dev, m app.Message) {
	project := d.ProjectName(m.ProjectID)
	if s.json {
		line := devMessage{
			ReceivedAt: m.ReceivedAt, Project: project, Path: m.Path, Provider: m.Provider, MessageID: m.MessageID, InboxID: m.InboxID,
			Status: m.Status, Reason: m.Reason, Detail: m.Detail, Tally: m.Tally, Others: m.Others,
		}
		if text, err := json.Marshal(line); err == nil {
			_ = s.printf("%s\n", text)
		}
		return
	}
	_ = s.printf("%s\n", messageLine(project, m))
}

// messageLine tells in a line what came and what happened to it:
//
//	10:20:31 clerk        user.created msg_2abc: applied
//	10:20:32 clerk        401 signature_mismatch: The request could not be verified: …
//	10:20:33 clerk        404 project_unknown at /api/…: There is no project …
func messageLine(project string, m app.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-12s", m.ReceivedAt.Local().Format(time.TimeOnly), m.Provider)
	if project != "demo" && project != "" {
		b.WriteString(" [" + project + "]")
	}
	if m.InboxID == 0 {
		fmt.Fprintf(&b, " %d %s%s: %s", m.Status, m.Reason, placeOf(m), m.Detail)
		if m.Path != "" {
			b.WriteString(" authsync integrations list PROJECT prints the right URLs.")
		}
		if m.Others > 0 {
			fmt.Fprintf(&b, " (and %d more to URLs of no project)", m.Others)
		}
		return printable(b.String())
	}
	if m.Tally == nil {
		fmt.Fprintf(&b, " message %d: pending; authsync doctor may tell why", m.InboxID)
		return printable(b.String())
	}
	fmt.Fprintf(&b, " %s %s: %s", typesOf(m.Tally), identifier(m), outcomesOf(m))
	if m.Status != http.StatusNoContent {
		fmt.Fprintf(&b, " (answered %d)", m.Status)
	}
	return printable(b.String())
}

// placeOf is the path of a request that belongs to no project.
func placeOf(m app.Message) string {
	if m.Path == "" {
		return ""
	}
	return " at " + m.Path
}

// typesOf are the types of events, the most frequent ones first, each with how often it occurs.
func typesOf(t *inbox.Tally) string {
	var parts []string
	for _, kind := range t.Types {
		word := "unknown type"
		if kind.Type != nil {
			word = *kind.Type
		}
		parts = append(parts, counted(kind.Events, word))
	}
	if t.OtherTypes > 0 {
		parts = append(parts, fmt.Sprintf("%d other types", t.OtherTypes))
	}
	return strings.Join(parts, ", ")
}

// outcomesOf are those of the events, with the reason of a single one, or of one of those that failed and which it is.
func outcomesOf(m app.Message) string {
	var parts []string
	why := ""
	for _, o := range m.Tally.Outcomes {
		parts = append(parts, counted(o.Events, o.Outcome))
		switch {
		case o.Reason == nil || *o.Reason == "":
		case m.Tally.Events == 1:
			why = ": " + *o.Reason
		case o.Outcome == inbox.Failed && o.EventID != nil:
			why = ": " + *o.EventID + ": " + *o.Reason
		case o.Outcome == inbox.Failed: // by its id in the list of events
			why = fmt.Sprintf(": %d-%d: %s", m.InboxID, o.Ordinal, *o.Reason)
		}
	}
	return strings.Join(parts, ", ") + why
}

func counted(n int64, word string) string {
	if n == 1 {
		return word
	}
	return fmt.Sprintf("%d %s", n, word)
}

// identifier is the sender's id of the message, else that of its first event.
func identifier(m app.Message) string {
	if m.MessageID != "" {
		return m.MessageID
	}
	if id := m.Tally.EventID; id != nil {
		return *id
	}
	return fmt.Sprintf("message %d", m.InboxID)
}
