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
	"github.com/authsync/authsync/internal/record"
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
		Use:   "explain PROJECT USER|TYPE/ID",
		Short: "Explain the values in a user's row, or in that of another record",
		Long: `Shows a user's row in the mirror, found by id or e-mail: the value of each column,
the event that set it, and when, by the provider's clock. Then it shows the history:
the user's events that are still in the inbox, oldest first, with their outcomes, and
the newest deliveries of the user's changes. Another record is named by its type and
its id: organization/ID, membership/ORGANIZATION/USER, invitation/ID or session/ID.

Each column keeps the value of the newest event that contains it. A late event fills
columns that no newer event has set and overwrites nothing else.`,
		Example: "  authsync explain demo 'auth0|demo-ada'\n" +
			"  authsync explain demo ada.lovelace@example.com\n" +
			"  authsync explain demo organization/org_123",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if recordType, id, _ := strings.Cut(args[1], "/"); isRecordType(recordType) && id != "" {
				return s.explainRecord(cmd.Context(), args[0], recordType, id)
			}
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
	events, err := c.Events(ctx, project, client.EventFilter{RecordType: string(record.User), RecordID: userID}, 0)
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

// notePending mentions events of the project that wait, and why: which record they are about is known only once they are applied.
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
	return s.printSources(u.User, u.Sources)
}

func (s *session) printSources(row map[string]any, sources []client.Source) error {
	t := table{head: []string{"COLUMN", "VALUE", "SET AT", "BY EVENT"}}
	for _, source := range sources {
		by := "no event has set it"
		if source.EventID != nil {
			by = *source.EventID
		}
		t.add(source.Column, cell(row[source.Column]), clockOrDash(source.SetAt), by)
	}
	return s.print(t)
}

// status is a sentence on whether the record of a row exists at the provider.
func status(row map[string]any) string {
	if row["last_event_processed"] == nil {
		return "a placeholder since " + cell(row["placeholder_since"]) + ": no event about it has arrived yet"
	}
	newest := fmt.Sprintf("newest event %s, from %s", cell(row["last_event_processed"]), cell(row["provider"]))
	if deleted, _ := row["deleted_at"].(string); deleted != "" {
		return "deleted at " + cell(deleted) + "; " + newest
	}
	if ended, _ := row["ended_at"].(string); ended != "" {
		return "ended at " + cell(ended) + "; " + newest
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
	err := s.printEventsAndChanges(events, u.Changes, "The inbox has no event about this user any more: retention has dropped them.")
	if err != nil || u.NextCursor == nil {
		return err
	}
	return s.printf("\nOlder changes are not shown. The project's database has them all:\n"+
		"SELECT * FROM capydb_auth.user_changes WHERE user_id = '%s' ORDER BY id\n", strings.ReplaceAll(cell(u.User["id"]), "'", "''"))
}

// printEventsAndChanges shows what events came, and what each changed.
func (s *session) printEventsAndChanges(events []client.Event, changes []client.Change, none string) error {
	if err := s.printf("\nHistory, oldest first:\n\n"); err != nil {
		return err
	}
	changed := map[string]string{}
	for _, c := range changes {
		changed[c.Provider+"\x00"+c.EventID] = c.Kind + ": " + strings.Join(c.Changed, ", ")
	}
	t := table{
		head: []string{"RECEIVED", "TYPE", "EVENT TIME", "EVENT", "OUTCOME", "CHANGED, OR WHY NOT"},
		none: none,
	}
	for _, e := range events {
		t.add(shortClock(e.ReceivedAt), orNull(e.Type), shortClockOrDash(e.EventTime), orNull(e.EventID), e.Outcome, effect(e, changed))
	}
	return s.print(t)
}

// explainedRecord is why the row of a record other than a user looks as it does.
type explainedRecord struct {
	client.Record

	Events []client.Event `json:"events"` // oldest first; only those that the inbox still has
}

func (s *session) explainRecord(ctx context.Context, project, recordType, id string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	events, err := c.Events(ctx, project, client.EventFilter{RecordType: recordType, RecordID: id}, 0)
	if err != nil {
		return err
	}
	slices.Reverse(events)
	r, err := c.Record(ctx, project, recordType, id)
	noRow := client.Status(err) == 404
	if err != nil && (!noRow || len(events) == 0) {
		return err
	}
	if s.json {
		return s.printJSON(explainedRecord{r, events})
	}
	if noRow {
		err = s.printf("There is no row for %s %s: none of its events has been applied.\n", recordType, printable(id))
	} else if err = s.printf("%s %s in the mirror of project %s\n%s\n\n", recordType, printable(id), project, status(r.Record)); err == nil {
		err = s.printSources(r.Record, r.Sources)
	}
	if err != nil {
		return err
	}
	if err := s.printEventsAndChanges(events, r.Changes, "The inbox has no event about this record."); err != nil {
		return err
	}
	if err := s.printOtherChanges(events, r.Changes); err != nil {
		return err
	}
	return s.notePending(ctx, c, project)
}

// printOtherChanges shows changes that none of the events made: a membership is deleted with its organization or
// user, and retention may have dropped events.
func (s *session) printOtherChanges(events []client.Event, changes []client.Change) error {
	t := table{head: []string{"CHANGED AT", "EVENT TIME", "EVENT", "CHANGED"}}
	for _, c := range changes {
		if !slices.ContainsFunc(events, func(e client.Event) bool { return orNull(e.EventID) == c.EventID && e.Provider == c.Provider }) {
			t.add(shortClock(c.ChangedAt), shortClock(c.EventAt), c.EventID, c.Kind+": "+strings.Join(c.Changed, ", "))
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	if err := s.printf("\nChanged by other events, such as of its organization or its user:\n\n"); err != nil {
		return err
	}
	return s.print(t)
}

// effect is what an event did to the row.
func effect(e client.Event, changed map[string]string) string {
	var parts []string
	if e.Outcome == "applied" {
		what, ok := changed[e.Provider+"\x00"+orNull(e.EventID)]
		if !ok {
			what = "no value: all of its values were known"
		}
		parts = append(parts, what)
	}
	if e.Reason != nil && *e.Reason != "" {
		parts = append(parts, *e.Reason)
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, "; ")
}
