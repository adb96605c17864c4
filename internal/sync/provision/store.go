package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/provider/userapi"
)

// The states of a webhook.
const (
	Pending = "pending"
	Testing = "testing"
	Ready   = "ready"
	Blocked = "blocked"
)

// row is a row of authsync.provisioned_webhooks, with whether the integration still asks for it.
type row struct {
	ProjectID          uuid.UUID
	Provider           string
	State              string
	RequestSeq         int64
	Problem            *string
	MissingPermissions []string
	AllowedAt          *time.Time
	WebhookID          *string
	IsMade             bool
	URL                *string
	EventTypes         []string
	EnsuredAt          *time.Time
	TestEventID        *string
	TestSentAt         *time.Time
	ArrivedAt          *time.Time
	Differences        []string
	ComparedAt         *time.Time
	UpdatedAt          time.Time
	IsWanted           bool
}

const (
	selectRow = `
		SELECT w.project_id, w.provider, w.state, w.request_seq, w.problem, w.missing_permissions, w.allowed_at, w.webhook_id, w.is_made, w.url,
		       w.event_types, w.ensured_at, w.test_event_id, w.test_sent_at, w.arrived_at, w.differences, w.compared_at, w.updated_at,
		       coalesce(i.options ->> 'provision' = 'true', false) AS is_wanted
		FROM authsync.provisioned_webhooks AS w
		JOIN authsync.integrations AS i ON i.project_id = w.project_id AND i.provider = w.provider
		WHERE w.project_id = $1 AND w.provider = $2`

	// A lease of a process that died ends by itself.
	takeLease = `
		UPDATE authsync.provisioned_webhooks AS w
		SET lease = $3, leased_until = clock_timestamp() + $4::double precision * interval '1 second'
		WHERE w.project_id = $1 AND w.provider = $2 AND (w.lease IS NULL OR w.leased_until < clock_timestamp())`

	returnLease = `
		UPDATE authsync.provisioned_webhooks AS w
		SET lease = NULL, leased_until = NULL
		WHERE w.project_id = $1 AND w.provider = $2 AND w.lease = $3`

	// What is there at the provider is true for later requests, too.
	noteWebhook = `
		UPDATE authsync.provisioned_webhooks AS w
		SET webhook_id = $3, is_made = $4, url = $5, event_types = $6, updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2`

	forgetWebhook = `
		UPDATE authsync.provisioned_webhooks AS w
		SET webhook_id = NULL, is_made = false, url = NULL, updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2`

	// Each of these is for one request; a later one begins anew.
	noteAllowed = `
		UPDATE authsync.provisioned_webhooks AS w
		SET allowed_at = clock_timestamp(), problem = NULL, missing_permissions = '{}', updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2 AND w.request_seq = $3`

	noteEnsured = `
		UPDATE authsync.provisioned_webhooks AS w
		SET ensured_at = clock_timestamp(), problem = NULL, updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2 AND w.request_seq = $3`

	noteTest = `
		UPDATE authsync.provisioned_webhooks AS w
		SET state = 'testing', test_event_id = $4, test_sent_at = clock_timestamp(), problem = NULL, updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2 AND w.request_seq = $3`

	noteReady = `
		UPDATE authsync.provisioned_webhooks AS w
		SET state = 'ready', arrived_at = clock_timestamp(), compared_at = w.ensured_at, problem = NULL, updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2 AND w.request_seq = $3`

	noteProblem = `
		UPDATE authsync.provisioned_webhooks AS w
		SET state = CASE WHEN $6 THEN 'blocked' ELSE w.state END, problem = $4, missing_permissions = $5, updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2 AND w.request_seq = $3`

	noteCompared = `
		UPDATE authsync.provisioned_webhooks AS w
		SET differences = $4, compared_at = clock_timestamp(), updated_at = clock_timestamp()
		WHERE w.project_id = $1 AND w.provider = $2 AND w.request_seq = $3`

	// The margin is for clocks that differ.
	hasArrived = `
		SELECT EXISTS (
			SELECT
			FROM authsync.event_outcomes AS e
			WHERE e.event_id = $2 AND e.project_id = $1 AND e.received_at > $3::timestamptz - interval '10 minutes'
		), clock_timestamp() - $3::timestamptz`
)

// store reads and writes the rows.
type store struct{ pool *pgxpool.Pool }

// find returns the row of an integration; nil if it never asked for a webhook.
func (s store) find(ctx context.Context, projectID uuid.UUID, name string) (*row, error) {
	rows, err := s.pool.Query(ctx, selectRow, projectID, name)
	if err != nil {
		return nil, fmt.Errorf("read the webhook: %w", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is no error
	}
	if err != nil {
		return nil, fmt.Errorf("read the webhook: %w", err)
	}
	return r, nil
}

// errSuperseded reports that a later request came: the job begins anew.
var errSuperseded = errors.New("the webhook was requested once more")

// errControl marks an error of the control database: nothing can be recorded.
var errControl = errors.New("note how far the webhook is")

// note runs a statement about one request.
func (s store) note(ctx context.Context, sql string, r *row, args ...any) error {
	tag, err := s.pool.Exec(ctx, sql, append([]any{r.ProjectID, r.Provider, r.RequestSeq}, args...)...)
	if err != nil {
		return errors.Join(errControl, err)
	}
	if tag.RowsAffected() == 0 {
		return errSuperseded
	}
	return nil
}

// noteWebhook records what there is at the provider, even while the job is asked to stop.
func (s store) noteWebhook(ctx context.Context, r *row, found userapi.Webhook) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if _, err := s.pool.Exec(ctx, noteWebhook, r.ProjectID, r.Provider, found.ID, found.Made, found.URL, found.EventTypes); err != nil {
		return errors.Join(errControl, err)
	}
	return nil
}

func (s store) forgetWebhook(ctx context.Context, r *row) error {
	if _, err := s.pool.Exec(ctx, forgetWebhook, r.ProjectID, r.Provider); err != nil {
		return errors.Join(errControl, err)
	}
	return nil
}

// arrived reports whether the test event is among the received ones, and how long ago it was sent.
func (s store) arrived(ctx context.Context, r *row) (arrived bool, ago time.Duration, err error) {
	if err := s.pool.QueryRow(ctx, hasArrived, r.ProjectID, r.TestEventID, r.TestSentAt).Scan(&arrived, &ago); err != nil {
		return false, 0, errors.Join(errControl, err)
	}
	return arrived, ago, nil
}

const (
	// leaseTime is longer than a job works.
	leaseTime = 40 * time.Second
	noteTime  = 3 * time.Second
)

// lease takes the lease of a webhook; the result is uuid.Nil if somebody else has it.
func (s store) lease(ctx context.Context, projectID uuid.UUID, name string) (uuid.UUID, error) {
	id := uuid.New()
	tag, err := s.pool.Exec(ctx, takeLease, projectID, name, id, leaseTime.Seconds())
	if err != nil {
		return uuid.Nil, errors.Join(errControl, err)
	}
	if tag.RowsAffected() == 0 {
		return uuid.Nil, nil
	}
	return id, nil
}

// release returns a lease; if that fails, it ends by itself.
func (s store) release(ctx context.Context, projectID uuid.UUID, name string, lease uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	_, _ = s.pool.Exec(ctx, returnLease, projectID, name, lease)
}
