package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

// explanation is why a row looks as it does.
type explanation struct {
	client.User

	Events     []client.Event    `json:"events"`     // oldest first; only those that the inbox still has
	Deliveries []client.Delivery `json:"deliveries"` // newest first, at most maxExplained
}

// maxExplained is how many deliveries of a user explain shows.
const maxExplained = 20

func (s *session) newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain PROJECT USER",
		Short: "Explain the values in a user's row",
		Long: `Shows a user's row in the mirror, found by id or e-mail: the value of each column,
the event that set it, and when, by the provider's clock. Then it shows the history:
the user's events that are still in the inbox, oldest first, with their outcomes, and
the newest deliveries of the user's changes.

Each column keeps the value of the newest event that contains it. A late event fills
columns that no newer event has set and overwrites nothing else.`,
		Example: "  authsync explain demo 'auth0|demo-ada'\n" +
			"  authsync explain demo ada.lovelace@example.com",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.explain(cmd.Context(), args[0], args[1])
		},
	}
}

func (s *session) explain(ctx context.Context, project, userID string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	if userID, err = s.findUser(ctx, c, project, userID); err != nil {
		return err
	}
	events, err := c.Events(ctx, project, client.EventFilter{UserID: userID}, 0)
	if err != nil {
		return err
	}
	slices.Reverse(events)
	user, err := c.User(ctx, project, userID)
	noRow := client.Status(err) == 404
	if err != nil && (!noRow || len(events) == 0) {
		return err
	}
	sent, err := c.Outgoing(ctx, project, client.OutgoingFilter{User: userID}, maxExplained)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(explanation{user, events, sent})
	}
	if noRow {
		err = s.printf("There is no row for user %s: none of its events has been applied.\n", printable(userID))
	} else {
		err = s.printUser(project, user)
	}
	if err != nil {
		return err
	}
	if err := s.printHistory(user, events); err != nil {
		return err
	}
	if len(sent) > 0 {
		if err := s.printf("\nSent on, newest first:\n\n"); err != nil {
			return err
		}
		if err := s.printOutgoing("", sent...); err != nil {
			return err
		}
	}
	if err := s.notePending(ctx, c, project); err != nil {
		return err
	}
	return s.noteRejected(ctx, c, project)
}

// notePending says that events of the project wait, and why: what they are about is known only once they are applied.
func (s *session) notePending(ctx context.Context, c *client.Client, project string) error {
	waiting, err := c.Events(ctx, project, client.EventFilter{Outcome: pending}, 1)
	if err != nil || len(waiting) == 0 || waiting[0].Reason == nil {
		return err
	}
	return s.notice("Events of project %s wait to be applied, and may be about this user: %s", project, printable(*waiting[0].Reason))
}

func (s *session) printUser(project string, u client.User) error {
	if err := s.printf("User %s in capydb_auth.users of project %s\n%s\n\n", cell(u.User["id"]), project, status(u.User)); err != nil {
		return err
	}
	t := table{head: []string{"COLUMN", "VALUE", "SET AT", "BY EVENT"}}
	for _, source := range u.Sources {
		by := "no event has spoken of it"
		if source.EventID != nil {
			by = *source.EventID
		}
		t.add(source.Column, cell(u.User[source.Column]), clockOrDash(source.SetAt), by)
	}
	return s.print(t)
}

// status says in a sentence what the row says about the user's life.
func status(user map[string]any) string {
	if user["last_event_processed"] == nil {
		return "a placeholder since " + cell(user["placeholder_since"]) + ": no event has told of the user yet"
	}
	newest := fmt.Sprintf("newest event %s, from %s", cell(user["last_event_processed"]), cell(user["provider"]))
	if deleted, _ := user["deleted_at"].(string); deleted != "" {
		return "deleted at " + cell(deleted) + "; " + newest
	}
	return "not deleted; " + newest
}

// cell writes a value of a row.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return clock(t)
		}
		return printable(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		return string(text)
	}
}

func (s *session) printHistory(u client.User, events []client.Event) error {
	if err := s.printf("\nHistory, oldest first:\n\n"); err != nil {
		return err
	}
	changed := map[string]string{}
	for _, c := range u.Changes {
		changed[c.Provider+"\x00"+c.EventID] = c.Kind + ": " + strings.Join(c.Changed, ", ")
	}
	t := table{
		head: []string{"RECEIVED", "TYPE", "EVENT TIME", "EVENT", "OUTCOME", "CHANGED, OR WHY NOT"},
		none: "The inbox has no event about this user any more: retention has dropped them.",
	}
	for _, e := range events {
		t.add(shortClock(e.ReceivedAt), orNull(e.Type), shortClockOrDash(e.EventTime), orNull(e.EventID), e.Outcome, told(e, changed))
	}
	if err := s.print(t); err != nil || u.NextCursor == nil {
		return err
	}
	return s.printf("\nOlder changes are not shown. The project's database has them all:\n"+
		"SELECT * FROM capydb_auth.user_changes WHERE user_id = '%s' ORDER BY id\n", strings.ReplaceAll(cell(u.User["id"]), "'", "''"))
}

// told says what an event did to the row.
func told(e client.Event, changed map[string]string) string {
	var said []string
	if e.Outcome == "applied" {
		what, ok := changed[e.Provider+"\x00"+orNull(e.EventID)]
		if !ok {
			what = "no value: it said what was known"
		}
		said = append(said, what)
	}
	if e.Reason != nil && *e.Reason != "" {
		said = append(said, *e.Reason)
	}
	if len(said) == 0 {
		return "-"
	}
	return strings.Join(said, "; ")
}
