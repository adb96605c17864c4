package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Project is a tenant, as the API tells of it.
type Project struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Database  string    `json:"database"`
	CreatedAt time.Time `json:"created_at"`
}

// Integration is a provider configured for a project.
type Integration struct {
	Provider    string                     `json:"provider"`
	Credentials map[string]CredentialState `json:"credentials"`
	Options     json.RawMessage            `json:"options"`
	Config      IntegrationConfig          `json:"config"`
	CreatedAt   time.Time                  `json:"created_at"`
	UpdatedAt   time.Time                  `json:"updated_at"`
}

// CredentialState tells whether a credential is set, and how many of it.
type CredentialState struct {
	Set   bool `json:"set"`
	Count int  `json:"count,omitempty"`
}

// IntegrationConfig is what to set up at the provider.
type IntegrationConfig struct {
	WebhookReceiver string `json:"webhook_receiver"`
}

// Key is an API key; Key is given only when it was just made.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Key        string     `json:"key,omitempty"`
	Hint       string     `json:"hint"`
	ProjectID  *string    `json:"project_id"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

type page[T any] struct {
	Data []T    `json:"data"`
	Next string `json:"next_cursor"`
}

// list reads all pages of a list, at most limit items; 0 is no limit.
func list[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) ([]T, error) {
	all := []T{}
	query = cloneValues(query)
	for {
		if limit > 0 {
			query.Set("limit", strconv.Itoa(min(limit-len(all), pageSize)))
		}
		var p page[T]
		if err := c.Do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		if p.Next == "" || (limit > 0 && len(all) >= limit) {
			return all, nil
		}
		query.Set("cursor", p.Next)
	}
}

const pageSize = 100

func cloneValues(v url.Values) url.Values {
	clone := url.Values{}
	for name, values := range v {
		clone[name] = values
	}
	return clone
}

// Projects lists all projects.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	return list[Project](ctx, c, "/projects", nil, 0)
}

// Project finds a project by its name or id.
func (c *Client) Project(ctx context.Context, nameOrID string) (p Project, err error) {
	err = c.Do(ctx, http.MethodGet, "/projects/"+url.PathEscape(nameOrID), nil, &p)
	return p, err
}

// Integrations lists the integrations of a project.
func (c *Client) Integrations(ctx context.Context, project string) ([]Integration, error) {
	return list[Integration](ctx, c, "/projects/"+url.PathEscape(project)+"/integrations", nil, 0)
}

// Keys lists all API keys, newest first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return list[Key](ctx, c, "/keys", nil, 0)
}

// CreateKey makes an API key, for one project (name or id) or, if that is
// empty, for all.
func (c *Client) CreateKey(ctx context.Context, name, project string, test bool) (k Key, err error) {
	in := map[string]any{"name": name, "test": test}
	if project != "" {
		in["project_id"] = project
	}
	err = c.Do(ctx, http.MethodPost, "/keys", in, &k)
	return k, err
}

// Event is one thing that happened, and what became of it.
type Event struct {
	ID         string     `json:"id"`
	Provider   string     `json:"provider"`
	EventID    string     `json:"event_id"`
	Type       string     `json:"type"`
	UserID     string     `json:"user_id"`
	EventTime  *time.Time `json:"event_time"`
	Outcome    string     `json:"outcome"`
	Reason     string     `json:"reason"`
	ReceivedAt time.Time  `json:"received_at"`
	AppliedAt  *time.Time `json:"applied_at"`
	InboxID    int64      `json:"inbox_id"`
	Ordinal    int        `json:"ordinal"`
	DeliveryID string     `json:"delivery_id"`
}

// EventFilter narrows a list of events; what is empty does not.
type EventFilter struct {
	EventID, UserID, Outcome, Provider, Type string
	Since                                    time.Time
}

// Events lists events of a project, newest first, at most limit.
func (c *Client) Events(ctx context.Context, project string, f EventFilter, limit int) ([]Event, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"event_id": f.EventID, "user_id": f.UserID, "outcome": f.Outcome, "provider": f.Provider, "type": f.Type,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	return list[Event](ctx, c, "/projects/"+url.PathEscape(project)+"/events", query, limit)
}
