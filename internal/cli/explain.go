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
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/record"
)

// explanation is why a row looks as it does.
type explanation struct {
	client.Record

	Events     []client.Event    `json:"events"`     // oldest first; only those that the inbox still has
	Deliveries []client.Delivery `json:"deliveries"` // newest first, at most maxExplained
	// Values are what lost against the value of each column; nil where there is no row.
	Values *client.RecordValues `json:"values"`
}

// maxExplained is how many deliveries of a record explain shows.
const maxExplained = 20

func (s *session) newExplain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain PROJECT USER|TYPE/ID",
		Short: "Explain the values in the row of a user or another record",
		Long: `Shows a record's row in the mirror: the value of each column, the event that set it,
and when, by the provider's clock; and of the newest events the values that lost
against it. Then it shows the history: the record's events that
are still in the inbox, oldest first, with their outcomes, changes by other events, and
the newest deliveries of its changes. A user is named by id or e-mail, any record by its
type and its id: organization/ID, membership/ORGANIZATION/USER, invitation/ID,
session/ID or user/ID.

Each column keeps the value of the newest event that contains it. A late event fills
columns that no newer event has set and overwrites nothing else.`,
		Example: "  authsync explain demo 'auth0|demo-ada'\n" +
			"  authsync explain demo ada.lovelace@example.com\n" +
			"  authsync explain demo organization/org_123",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.explain(cmd.Context(), args[0], args[1])
		},
	}
}

func (s *session) explain(ctx context.Context, project, named string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	d, id, err := s.findRecord(ctx, c, project, named)
	if err != nil {
		return err
	}
	recordType := string(d.Type)
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
	sent, err := c.Outgoing(ctx, project, client.OutgoingFilter{RecordType: recordType, RecordID: id}, maxExplained)
	if err != nil {
		return err
	}
	var values *client.RecordValues
	if !noRow {
		found, err := c.Values(ctx, project, recordType, id)
		if err != nil {
			return err
		}
		values = &found
	}
	if s.json {
		return s.printJSON(explanation{r, events, sent, values})
	}
	if noRow {
		err = s.printf("There is no row for %s %s: none of its events has been applied.\n", recordType, printable(id))
	} else {
		err = s.printRow(project, d, r)
	}
	if err != nil {
		return err
	}
	if err := s.printLost(values); err != nil {
		return err
	}
	if err := s.printHistory(d, r, events); err != nil {
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
	if err := s.notePending(ctx, c, project, d.Type); err != nil {
		return err
	}
	return s.noteRejected(ctx, c, project)
}

// findRecord gives the record that is named by its type and its id, or by the id or the e-mail of a user.
func (s *session) findRecord(ctx context.Context, c *client.Client, project, named string) (d record.Definition, id string, err error) {
	name, id, _ := strings.Cut(named, "/")
	if d, known := record.Of(record.Type(name)); known && id != "" {
		return d, id, nil
	}
	d, _ = record.Of(record.User)
	id, err = s.findUser(ctx, c, project, named)
	return d, id, err
}

// notePending mentions events of the project that wait, and why: which record they are about is known only once they are applied.
func (s *session) notePending(ctx context.Context, c *client.Client, project string, t record.Type) error {
	waiting, err := c.Events(ctx, project, client.EventFilter{Outcome: pending}, 1)
	if err != nil || len(waiting) == 0 || waiting[0].Reason == nil {
		return err
	}
	return s.notice("Events of project %s wait to be applied, and may be about this %s: %s", project, t, printable(*waiting[0].Reason))
}

func (s *session) printRow(project string, d record.Definition, r client.Record) error {
	name := strings.ToUpper(r.RecordType[:1]) + r.RecordType[1:]
	if err := s.printf("%s %s in capydb_auth.%s of project %s\n%s\n\n", name, printable(r.RecordID), d.Table, project, status(r.Record)); err != nil {
		return err
	}
	t := table{head: []string{"COLUMN", "VALUE", "SET AT", "BY EVENT"}}
	for _, source := range r.Sources {
		by := "no event has set it"
		if source.EventID != nil {
			by = *source.EventID
		}
		t.add(source.Column, cell(r.Record[source.Column]), clockOrDash(source.SetAt), by)
	}
	return s.print(t)
}

// printLost shows which values lost against those of the columns, if any did.
func (s *session) printLost(values *client.RecordValues) error {
	t := table{head: []string{"COLUMN", "VALUE", "EVENT TIME", "EVENT", "OUTCOME"}}
	if values == nil {
		return nil
	}
	for _, column := range values.Columns {
		for _, lost := range column.Lost {
			t.add(column.Column, orNull(lost.Value), shortClockOrDash(lost.Event.EventTime), orNull(lost.Event.EventID), lost.Event.Outcome)
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	if err := s.printf("\nValues of the newest %s that lost, as their event is older or has not been applied:\n\n", plural.Of(values.EventsRead, "event")); err != nil {
		return err
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

// printHistory shows what events came, and what changed.
func (s *session) printHistory(d record.Definition, r client.Record, events []client.Event) error {
	if err := s.printf("\nHistory, oldest first:\n\n"); err != nil {
		return err
	}
	changed := map[string]string{}
	for _, c := range r.Changes {
		changed[c.Provider+"\x00"+c.EventID] = changeOf(c)
	}
	t := table{
		head: []string{"RECEIVED", "TYPE", "EVENT TIME", "EVENT", "OUTCOME", "CHANGED, OR WHY NOT"},
		none: "The inbox has no event about this " + string(d.Type) + ".",
	}
	for _, e := range events {
		t.add(shortClock(e.ReceivedAt), orNull(e.Type), shortClockOrDash(e.EventTime), orNull(e.EventID), e.Outcome, effect(e, changed))
	}
	if err := s.print(t); err != nil {
		return err
	}
	if err := s.printOtherChanges(events, r.Changes); err != nil || r.NextCursor == nil {
		return err
	}
	return s.printf("\nOlder changes are not shown. The project's database has those that are still kept:\n"+
		"SELECT * FROM capydb_auth.record_changes WHERE record_type = '%s' AND record_id = '%s' ORDER BY id\n",
		r.RecordType, strings.ReplaceAll(printable(r.RecordID), "'", "''"))
}

func changeOf(c client.Change) string { return c.Kind + ": " + strings.Join(c.Changed, ", ") }

// printOtherChanges shows changes that none of the events made: those of a backfill or a refresh, those of an event that
// retention has dropped, and those of a membership whose organization or user is deleted.
func (s *session) printOtherChanges(events []client.Event, changes []client.Change) error {
	t := table{head: []string{"CHANGED AT", "EVENT TIME", "EVENT", "CHANGED"}}
	for _, c := range changes {
		if !slices.ContainsFunc(events, func(e client.Event) bool { return orNull(e.EventID) == c.EventID && e.Provider == c.Provider }) {
			t.add(shortClock(c.ChangedAt), shortClock(c.EventAt), c.EventID, changeOf(c))
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	if err := s.printf("\nChanged by other events, such as those of a backfill, or of its organization or user:\n\n"); err != nil {
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
