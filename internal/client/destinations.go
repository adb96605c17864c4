package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
)

// Destination is where a project's changes are sent on to.
type Destination struct {
	ID               string                 `json:"id"`
	ProjectID        string                 `json:"project_id"`
	Name             string                 `json:"name"`
	Type             string                 `json:"type"`
	EventTypes       []string               `json:"event_types"`
	Fields           []string               `json:"fields"`
	Condition        *string                `json:"condition"`
	Options          json.RawMessage        `json:"options"`
	Secrets          map[string]SecretState `json:"secrets"`
	State            string                 `json:"state"`
	StateBy          string                 `json:"state_by"`
	StateReason      *string                `json:"state_reason"`
	StateSince       time.Time              `json:"state_since"`
	FailingSince     *time.Time             `json:"failing_since"`
	BreakerOpenUntil *time.Time             `json:"breaker_open_until"`
	Waiting          int64                  `json:"waiting"`
	Retrying         int64                  `json:"retrying"`
	Failed           int64                  `json:"failed"`
	OldestWaitingAt  *time.Time             `json:"oldest_waiting_at"`
	LastSuccessAt    *time.Time             `json:"last_success_at"`
	WaitReason       *string                `json:"wait_reason"`
	CreatedAt        time.Time              `json:"created_at"`
	UpdatedAt        time.Time              `json:"updated_at"`
	Fault            string                 `json:"fault,omitempty"` // why it cannot be used
	Secret           *MadeSecret            `json:"secret,omitempty"`
}

// SecretState tells that a secret is set, and until when the one before it is valid too.
type SecretState struct {
	Set      bool       `json:"set"`
	OldUntil *time.Time `json:"old_until,omitempty"`
}

// MadeSecret is a secret that is shown this once.
type MadeSecret struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Preview is what a destination would be sent.
type Preview struct {
	Wanted    bool      `json:"wanted"`
	Why       string    `json:"why"`
	MessageID string    `json:"message_id"`
	Requests  []Request `json:"requests"`
}

// Request is a request that a destination would make; secrets in it are masked.
type Request struct {
	Method  string              `json:"method"`
	URL     string              `json:"url"`
	Headers map[string][]string `json:"headers"`
	Body    json.RawMessage     `json:"body"`
	Note    string              `json:"note,omitempty"`
}

// TestResult is what a destination answered to a test event.
type TestResult struct {
	Delivered  bool      `json:"delivered"`
	MessageID  string    `json:"message_id"`
	Requests   []Request `json:"requests"`
	Status     *int      `json:"status"`
	Response   string    `json:"response"`
	Reason     string    `json:"reason"`
	DurationMS int64     `json:"duration_ms"`
}

// Replayed tells how many deliveries were chosen, and how many are on their way again.
type Replayed struct {
	Matched  int64 `json:"matched"`
	Requeued int64 `json:"requeued"`
	DryRun   bool  `json:"dry_run"`
}

// Outgoing is one change on its way to one destination. (A Delivery is what a provider sent.)
type Outgoing struct {
	ID            int64      `json:"id"`
	DestinationID string     `json:"destination_id"`
	Destination   string     `json:"destination"`
	ChangeID      int64      `json:"change_id"`
	MessageID     string     `json:"message_id"`
	UserID        string     `json:"user_id"`
	EventType     string     `json:"event_type"`
	Changed       []string   `json:"changed"`
	State         string     `json:"state"`
	Attempts      int        `json:"attempts"`
	Deferrals     int        `json:"deferrals"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastAttemptAt *time.Time `json:"last_attempt_at"`
	LastStatus    *int       `json:"last_status"`
	LastResponse  *string    `json:"last_response"`
	Reason        *string    `json:"reason"`
	CoalescedInto *int64     `json:"coalesced_into"`
	JobID         *int64     `json:"job_id"`
	ChangedAt     time.Time  `json:"changed_at"`
	CreatedAt     time.Time  `json:"created_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}

// OutgoingFilter narrows a list of deliveries; what is empty does not.
type OutgoingFilter struct{ Destination, State, User, EventType string }

// Destinations lists the destinations of a project.
func (c *Client) Destinations(ctx context.Context, project string) ([]Destination, error) {
	var p wire.Page[Destination]
	err := c.Do(ctx, http.MethodGet, projectPath(project)+"/destinations", nil, &p) // they fit on a page
	return p.Data, err
}

// AddDestination makes a destination of what the API takes.
func (c *Client) AddDestination(ctx context.Context, project string, in map[string]any) (d Destination, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/destinations", in, &d)
	return d, err
}

// Destination finds a destination by its name or id.
func (c *Client) Destination(ctx context.Context, project, nameOrID string) (d Destination, err error) {
	err = c.Do(ctx, http.MethodGet, DestinationPath(project, nameOrID), nil, &d)
	return d, err
}

// ChangeDestination changes what is given of a destination.
func (c *Client) ChangeDestination(ctx context.Context, project, nameOrID string, in map[string]any) (d Destination, err error) {
	err = c.Do(ctx, http.MethodPatch, DestinationPath(project, nameOrID), in, &d)
	return d, err
}

// ActOn pauses, resumes or rotates a destination: whatever answers with it.
func (c *Client) ActOn(ctx context.Context, project, nameOrID, action string, in map[string]any) (d Destination, err error) {
	var body any // a nil map would be sent as null
	if in != nil {
		body = in
	}
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/"+action, body, &d)
	return d, err
}

// Preview shows what a destination would be sent of a change.
func (c *Client) Preview(ctx context.Context, project, nameOrID string, in map[string]any) (p Preview, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/preview", in, &p)
	return p, err
}

// TestDestination sends a test event to a destination.
func (c *Client) TestDestination(ctx context.Context, project, nameOrID string, in map[string]any) (r TestResult, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/test", in, &r)
	return r, err
}

// ReplayDestination delivers again what is chosen.
func (c *Client) ReplayDestination(ctx context.Context, project, nameOrID string, in map[string]any) (r Replayed, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/replay", in, &r)
	return r, err
}

// Outgoing lists deliveries to destinations, newest first, at most limit; 0 is no limit.
func (c *Client) Outgoing(ctx context.Context, project string, f OutgoingFilter, limit int) ([]Outgoing, error) {
	query := url.Values{}
	for name, value := range map[string]string{"destination": f.Destination, "state": f.State, "user_id": f.User, "event_type": f.EventType} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return list[Outgoing](ctx, c, projectPath(project)+"/deliveries", query, limit)
}

// OneOutgoing finds a delivery to a destination by its id.
func (c *Client) OneOutgoing(ctx context.Context, project string, id int64) (o Outgoing, err error) {
	err = c.Do(ctx, http.MethodGet, outgoingPath(project, id), nil, &o)
	return o, err
}

// ActOnOutgoing retries or cancels a delivery, and gives it as it is then.
func (c *Client) ActOnOutgoing(ctx context.Context, project string, id int64, action string) (o Outgoing, err error) {
	err = c.Do(ctx, http.MethodPost, outgoingPath(project, id)+"/"+action, nil, &o)
	return o, err
}

// DestinationPath is the path of a destination behind Prefix.
func DestinationPath(project, nameOrID string) string {
	return projectPath(project) + "/destinations/" + url.PathEscape(nameOrID)
}

func outgoingPath(project string, id int64) string {
	return projectPath(project) + "/deliveries/" + strconv.FormatInt(id, 10)
}
