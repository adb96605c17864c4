package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/inbox"
)

// devMessage is a line of dev's --json for a message.
type devMessage struct {
	ReceivedAt time.Time     `json:"received_at"`
	Project    string        `json:"project"`
	Provider   string        `json:"provider"`
	MessageID  string        `json:"message_id,omitempty"`
	InboxID    int64         `json:"inbox_id,omitempty"`
	Status     int           `json:"status"`
	Reason     string        `json:"reason,omitempty"`
	Detail     string        `json:"detail,omitempty"`
	Events     []inbox.Event `json:"events,omitempty"`
}

// showMessage writes a line about a webhook. That a line cannot be written is no reason to stop.
func (s *session) showMessage(d *app.Dev, m app.Message) {
	project := d.ProjectName(m.ProjectID)
	if s.json {
		line := devMessage{
			ReceivedAt: m.ReceivedAt, Project: project, Provider: m.Provider, MessageID: m.MessageID, InboxID: m.InboxID,
			Status: m.Status, Reason: m.Reason, Detail: m.Detail, Events: m.Events,
		}
		if text, err := json.Marshal(line); err == nil {
			_ = s.printf("%s\n", text)
		}
		return
	}
	_ = s.printf("%s\n", messageLine(project, m))
}

// messageLine tells in a line what came and what became of it:
//
//	10:20:31 clerk        user.created msg_2abc: applied
//	10:20:32 clerk        401 signature_mismatch: The request could not be verified: …
func messageLine(project string, m app.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-12s", m.ReceivedAt.Local().Format(time.TimeOnly), m.Provider)
	if project != "demo" {
		b.WriteString(" [" + project + "]")
	}
	if m.InboxID == 0 {
		fmt.Fprintf(&b, " %d %s: %s", m.Status, m.Reason, m.Detail)
		return printable(b.String())
	}
	if len(m.Events) == 0 {
		fmt.Fprintf(&b, " message %d: pending; authsync doctor may tell why", m.InboxID)
		return printable(b.String())
	}
	fmt.Fprintf(&b, " %s %s: %s", typesOf(m.Events), identifier(m), outcomesOf(m.Events))
	if m.Status != http.StatusNoContent {
		fmt.Fprintf(&b, " (answered %d)", m.Status)
	}
	return printable(b.String())
}

// typesOf are the types of events, each once, with how often it occurs.
func typesOf(events []inbox.Event) string {
	return countsOf(events, func(e inbox.Event) string {
		if e.Type == nil {
			return "unknown type"
		}
		return *e.Type
	})
}

// outcomesOf are those of events, with the reason of a single one or of the first that failed.
func outcomesOf(events []inbox.Event) string {
	text := countsOf(events, func(e inbox.Event) string { return e.Outcome })
	for _, e := range events {
		if e.Reason != nil && *e.Reason != "" && (len(events) == 1 || e.Outcome == inbox.Failed) {
			return text + ": " + *e.Reason
		}
	}
	return text
}

func countsOf(events []inbox.Event, of func(inbox.Event) string) string {
	n := map[string]int{}
	for _, e := range events {
		n[of(e)]++
	}
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(n)) {
		if n[word] > 1 {
			word = fmt.Sprintf("%d %s", n[word], word)
		}
		parts = append(parts, word)
	}
	return strings.Join(parts, ", ")
}

// identifier is the sender's id of the message, else that of its first event.
func identifier(m app.Message) string {
	if m.MessageID != "" {
		return m.MessageID
	}
	if id := m.Events[0].EventID; id != nil {
		return *id
	}
	return fmt.Sprintf("message %d", m.InboxID)
}
