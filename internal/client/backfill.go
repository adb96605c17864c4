package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Backfill is a run that reads all users of a provider.
type Backfill struct {
	ID           string         `json:"id"`
	ProjectID    string         `json:"project_id"`
	Provider     string         `json:"provider"`
	Kind         string         `json:"kind"`
	State        string         `json:"state"`
	Total        *int64         `json:"total"`
	Read         int64          `json:"read"`
	Applied      int64          `json:"applied"`
	Unchanged    int64          `json:"unchanged"`
	Failed       int64          `json:"failed"`
	PerSecond    *float64       `json:"per_second"`
	SecondsLeft  *float64       `json:"seconds_left"`
	WaitsBecause *string        `json:"waits_because"`
	Error        *string        `json:"error"`
	Report       BackfillReport `json:"report"`
	StartedAt    time.Time      `json:"started_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	FinishedAt   *time.Time     `json:"finished_at"`
}

// BackfillReport is what a person should know of it beside the numbers.
type BackfillReport struct {
	Bad   []BackfillEntry `json:"bad"`
	Notes []string        `json:"notes,omitempty"`
}

// BackfillEntry is an entry that is not in the mirror.
type BackfillEntry struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// Grant is what a role may do with a mirror.
type Grant struct {
	Role    string   `json:"role"`
	Granted []string `json:"granted"`
}

func backfillPath(project, provider string) string {
	return projectPath(project) + "/integrations/" + url.PathEscape(provider) + "/backfill"
}

// StartBackfill starts a backfill; while one is unfinished the status is 409.
func (c *Client) StartBackfill(ctx context.Context, project, provider string) (b Backfill, err error) {
	err = c.Do(ctx, http.MethodPost, backfillPath(project, provider), nil, &b)
	return b, err
}

// Backfill gives the newest backfill of a provider.
func (c *Client) Backfill(ctx context.Context, project, provider string) (b Backfill, err error) {
	err = c.Do(ctx, http.MethodGet, backfillPath(project, provider), nil, &b)
	return b, err
}

// CancelBackfill cancels the unfinished backfill of a provider.
func (c *Client) CancelBackfill(ctx context.Context, project, provider string) (b Backfill, err error) {
	err = c.Do(ctx, http.MethodDelete, backfillPath(project, provider), nil, &b)
	return b, err
}

// Grant lets a role of the project's database read the mirror.
func (c *Client) Grant(ctx context.Context, project, role string) (g Grant, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/grants", map[string]string{"role": role}, &g)
	return g, err
}
