package watch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
	"github.com/authsync/authsync/internal/retryafter"
)

const (
	// callTime bounds one attempt. All due calls of a round are made at the same time, at most callsAtOnce of them.
	callTime    = 15 * time.Second
	callsAtOnce = 20
	// leaseTime is how long no other process makes a call that was begun. If the process dies, it is made again with the same id.
	leaseTime = time.Minute
	// Attempts and pauses are those of deliveries: 5 s, tripled each time, at most 12 h; fifteen attempts take about
	// three days. They are made every Every, so the first pauses are longer.
	maxAttempts       = 15
	firstPause        = 5 * time.Second
	maxPause          = 12 * time.Hour
	maxAnswer   int64 = 64 << 10
)

// Target is a webhook of the operator.
type Target struct {
	URL string // may hold a secret
	// Slack sends {"text": …} instead of the problem as JSON, as Slack, Mattermost and others take it.
	Slack bool
	// Key signs the request by Standard Webhooks; nil: it is not signed.
	Key []byte
}

// name identifies the target in the database without its secret.
func (t Target) name() string {
	sum := sha256.Sum256([]byte(t.URL))
	return hex.EncodeToString(sum[:8])
}

// A closing is sent after the opening, as long as that is not given up.
const takeCalls = `
	WITH due AS (
		SELECT c.problem_id, c.event, c.target
		FROM authsync.problem_calls AS c
		WHERE c.delivered_at IS NULL AND c.failed_at IS NULL AND c.next_attempt_at <= $1 AND c.target = ANY ($2)
		  AND (c.event = 'opened' OR NOT EXISTS (
		      SELECT
		      FROM authsync.problem_calls AS o
		      WHERE o.problem_id = c.problem_id AND o.event = 'opened' AND o.target = c.target AND o.delivered_at IS NULL AND o.failed_at IS NULL))
		ORDER BY c.next_attempt_at, c.problem_id
		LIMIT $3
		FOR UPDATE SKIP LOCKED
	)
	UPDATE authsync.problem_calls AS c
	SET attempts = c.attempts + 1, next_attempt_at = $1::timestamptz + $4::interval
	FROM due AS d
	JOIN authsync.problems AS p ON p.id = d.problem_id
	LEFT JOIN authsync.projects AS j ON j.id = p.project_id
	WHERE c.problem_id = d.problem_id AND c.event = d.event AND c.target = d.target
	RETURNING c.problem_id, c.event, c.target, c.attempts, p.kind, p.project_id::text AS project_id, j.name AS project, p.subject, p.severity,
	          p.detail, p.next_step, p.opened_at, p.closed_at`

type call struct {
	ProblemID int64
	Event     string
	Target    string
	Attempts  int
	Kind      string
	ProjectID *string
	Project   *string
	Subject   string
	Severity  string
	Detail    string
	NextStep  string
	OpenedAt  time.Time
	ClosedAt  *time.Time
}

// Call makes the calls to the operator's webhooks that are due. Each arrives once for each opening and closing, unless its answer
// is lost: then it comes again with the same webhook-id.
func (w *Watcher) Call(ctx context.Context) error {
	if len(w.targets) == 0 {
		return nil
	}
	calls, err := pgdb.Collect[call](ctx, w.config.Pool, takeCalls, w.config.Now(), w.targets, callsAtOnce, leaseTime)
	if err != nil {
		return fmt.Errorf("find the calls that are due: %w", err)
	}
	var made sync.WaitGroup
	errs := make([]error, len(calls))
	for i := range calls {
		made.Go(func() { errs[i] = w.make(ctx, &calls[i]) })
	}
	made.Wait()
	return errors.Join(errs...)
}

const recordCall = `
	UPDATE authsync.problem_calls AS c
	SET delivered_at = $4, failed_at = $5, next_attempt_at = $6, last_error = $7
	WHERE c.problem_id = $1 AND c.event = $2 AND c.target = $3 AND c.attempts = $8`

// make makes one attempt and records its result.
func (w *Watcher) make(ctx context.Context, c *call) error {
	var delivered, failed *time.Time
	after, err := w.send(ctx, c)
	now := w.config.Now()
	next := now.Add(max(pauseAfter(c.Attempts), after))
	var reason *string
	switch {
	case err == nil:
		delivered = &now
	case c.Attempts >= maxAttempts:
		failed = &now
	}
	if err != nil {
		text := line(err.Error())
		reason = &text
		w.config.Log.WarnContext(ctx, "operator_call_failed", slog.Int64("problem_id", c.ProblemID), slog.String("event", c.Event),
			slog.String("target", c.Target), slog.Int("attempt", c.Attempts), slog.String("reason", text))
	}
	_, err = w.config.Pool.Exec(context.WithoutCancel(ctx), recordCall, c.ProblemID, c.Event, c.Target, delivered, failed, next, reason, c.Attempts)
	if err != nil {
		return fmt.Errorf("record a call: %w", err)
	}
	return nil
}

// pauseAfter returns the pause after a number of attempts.
func pauseAfter(attempts int) time.Duration {
	pause := firstPause
	for n := 1; n < attempts && pause < maxPause; n++ {
		pause *= 3
	}
	return min(pause, maxPause)
}

// send sends a call. If the receiver refused, after is how long it asked to wait.
func (w *Watcher) send(ctx context.Context, c *call) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, fmt.Errorf("no answer within %s", callTime))
	defer cancel()
	var to Target
	for _, t := range w.config.Targets {
		if t.name() == c.Target {
			to = t
		}
	}
	body, err := c.body(to.Slack)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the URL cannot be read")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "authsync")
	if to.Key != nil {
		signed, err := standardwebhooks.Sign(to.Key, standardwebhooks.Standard, c.id(), w.config.Now(), body)
		if err != nil {
			return 0, err
		}
		maps.Copy(r.Header, signed)
	}
	answer, err := w.config.Client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if of, is := errors.AsType[*url.Error](err); is {
			err = of.Err // its own text quotes the URL
		}
		return 0, fmt.Errorf("the request failed: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // so that the connection is used again
	if answer.StatusCode/100 == 2 {
		return 0, nil
	}
	after, _ = retryafter.In(answer.Header, w.config.Now())
	return after, errors.New("it answered " + strconv.Itoa(answer.StatusCode))
}

// id is the webhook-id: the same for each attempt.
func (c *call) id() string { return fmt.Sprintf("problem_%d_%s", c.ProblemID, c.Event) }

// body is what is sent.
func (c *call) body(slack bool) ([]byte, error) {
	if slack {
		return json.Marshal(map[string]string{"text": c.text()})
	}
	type data struct {
		ID        int64      `json:"id"`
		Kind      string     `json:"kind"`
		ProjectID *string    `json:"project_id"`
		Project   *string    `json:"project"`
		Subject   *string    `json:"subject"`
		Severity  string     `json:"severity"`
		Detail    string     `json:"detail"`
		NextStep  string     `json:"next_step"`
		OpenedAt  time.Time  `json:"opened_at"`
		ClosedAt  *time.Time `json:"closed_at"`
	}
	at := c.OpenedAt
	d := data{
		ID: c.ProblemID, Kind: c.Kind, ProjectID: c.ProjectID, Project: c.Project, Subject: pgdb.NullText(c.Subject), Severity: c.Severity,
		Detail: c.Detail, NextStep: c.NextStep, OpenedAt: c.OpenedAt.UTC(),
	}
	if c.Event == StateClosed && c.ClosedAt != nil {
		at = c.ClosedAt.UTC()
		d.ClosedAt = &at
	}
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      data      `json:"data"`
	}{"problem." + c.Event, at.UTC(), d})
}

// text is the call for people, in the markup that Slack and others share. Texts that others chose cannot mention anybody.
func (c *call) text() string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	if c.Event == StateClosed {
		return "*authsync: closed:* " + escape(c.Detail)
	}
	return "*authsync: " + c.Severity + ":* " + escape(c.Detail) + "\nNext: " + escape(c.NextStep)
}
