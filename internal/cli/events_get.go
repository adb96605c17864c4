package cli

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pgdb"
)

// job is the River job that has or had to do with an event.
type job struct {
	ID          int64      `json:"id"`
	Kind        string     `json:"kind"`
	State       string     `json:"state"`
	Attempt     int        `json:"attempt"`
	MaxAttempts int        `json:"max_attempts"`
	NextTry     *time.Time `json:"next_try_at"`
	WaitsFor    *string    `json:"wait_reason"`
	LastError   *string    `json:"last_error"`
}

func (s *session) newEventsShow() *cobra.Command {
	var body bool
	cmd := &cobra.Command{
		Use:   "get PROJECT ID",
		Short: "Show one event: its message, outcome and jobs",
		Long: `Shows one event by its id in events list. If the control database is reachable (that
of the dev server, otherwise DATABASE_URL), it also shows the event's jobs, with their
last errors and next attempts. --body prints only the request body, byte for byte: it
contains personal data, so the server logs who reads it.`,
		Example: "  authsync events get demo 17.0\n" +
			"  authsync events get demo 17.0 --body | jq .",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			e, err := c.Event(cmd.Context(), args[0], args[1], body)
			if err != nil {
				return err
			}
			if body && !s.json {
				return s.printBody(e)
			}
			jobs, err := s.jobsOf(cmd.Context(), e.Event)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(struct {
					client.Delivery

					Jobs []job `json:"jobs"` // null where the control database is not known
				}{e, jobs})
			}
			return s.printEvent(e.Event, jobs)
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "print the body of the request, unchanged")
	return cmd
}

func (s *session) printBody(d client.Delivery) error {
	var raw []byte
	var err error
	switch {
	case d.Body != nil:
		raw = []byte(*d.Body)
	case d.BodyBase64 != nil:
		if raw, err = base64.StdEncoding.DecodeString(*d.BodyBase64); err != nil {
			return err
		}
	}
	_, err = s.Out.Write(raw)
	return err
}

func (s *session) printEvent(e client.Event, jobs []job) error {
	facts := map[string]string{
		"1 event": orNull(e.EventID), "2 provider": e.Provider, "3 type": orNull(e.Type), "4 user": orNull(e.UserID),
		"5 event time": clockOrDash(e.EventTime), "6 received": clock(e.ReceivedAt), "7 applied": clockOrDash(e.AppliedAt),
		"8 outcome": e.Outcome, "9 reason": orNull(e.Reason),
	}
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		if err := s.printf("%-11s %s\n", name[2:], printable(facts[name])); err != nil {
			return err
		}
	}
	if jobs == nil {
		return s.notice("Its jobs are in the control database: set DATABASE_URL to see them.")
	}
	t := table{head: []string{"JOB", "KIND", "STATE", "ATTEMPT", "NEXT TRY", "WHY"}, none: "\nNo job is left: the event has its outcome."}
	for _, j := range jobs {
		why := orNull(j.LastError)
		if j.WaitsFor != nil && j.NextTry != nil {
			why = "waits: " + *j.WaitsFor
		}
		t.add(strconv.FormatInt(j.ID, 10), j.Kind, j.State, strconv.Itoa(j.Attempt)+" of "+strconv.Itoa(j.MaxAttempts), clockOrDash(j.NextTry), why)
	}
	if len(jobs) > 0 {
		if err := s.printf("\n"); err != nil {
			return err
		}
	}
	return s.print(t)
}

const selectJobs = `
	SELECT id, kind, state::text, attempt, max_attempts,
	       CASE WHEN finalized_at IS NULL THEN scheduled_at END,
	       metadata #>> '{output,wait_reason}',
	       errors[cardinality(errors)] ->> 'error'
	FROM authsync.river_job
	WHERE (kind = 'apply_inbox' AND finalized_at IS NULL AND args ->> 'project_id' = (
	           SELECT i.project_id::text FROM authsync.inbox AS i WHERE i.id = $1::bigint)
	       AND NOT EXISTS (SELECT FROM authsync.event_outcomes AS e WHERE e.inbox_id = $1::bigint))
	   OR (kind = 'retry_event' AND args @> jsonb_build_object('inbox_id', $1::bigint, 'ordinal', $2::integer))
	ORDER BY id`

// jobsOf reads the jobs of an event; nil where the control database is not known.
func (s *session) jobsOf(ctx context.Context, e client.Event) ([]job, error) {
	url, err := s.database()
	if err != nil {
		return nil, nil // it is an extra; without it the event is shown all the same
	}
	var pool *pgxpool.Pool
	if pool, err = pgdb.Open(ctx, url.Reveal(), pgdb.Options{MaxConns: 1}); err != nil {
		return nil, err
	}
	defer pool.Close()
	jobs, err := collectRows[job](ctx, pool, selectJobs, e.InboxID, e.Ordinal)
	if jobs == nil {
		jobs = []job{}
	}
	return jobs, err
}
