package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Repair is what a refresh of one user found and did.
type Repair struct {
	UserID   string   `json:"user_id"`
	Provider string   `json:"provider"`
	Found    string   `json:"found"`
	Columns  []string `json:"columns"`
	Done     string   `json:"done"`
	Note     *string  `json:"note"`
	EventID  string   `json:"event_id"`
}

// Refresh reads a user from the provider and brings the mirror to it. An empty
// provider is the one that the user came from.
func (c *Client) Refresh(ctx context.Context, project, userID, provider string) (r Repair, err error) {
	body := map[string]string{}
	if provider != "" {
		body["provider"] = provider
	}
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/users/"+url.PathEscape(userID)+"/refresh", body, &r)
	return r, err
}

// RedeliverOrder says which failed deliveries are meant; what is empty bounds nothing.
type RedeliverOrder struct {
	From   *time.Time `json:"since,omitempty"`
	To     *time.Time `json:"until,omitempty"`
	Stream string     `json:"stream,omitempty"`
	DryRun bool       `json:"dry_run,omitempty"`
}

// Redelivery is what was found and asked for.
type Redelivery struct {
	DryRun  bool               `json:"dry_run"`
	From    *time.Time         `json:"since"`
	To      *time.Time         `json:"until"`
	Streams []RedeliveryStream `json:"streams"`
}

// RedeliveryStream is one event stream of the provider.
type RedeliveryStream struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Endpoint  string         `json:"endpoint"`
	Enabled   bool           `json:"enabled"`
	Failed    int            `json:"failed"`
	Complete  bool           `json:"complete"`
	Types     map[string]int `json:"types"`
	Oldest    *time.Time     `json:"oldest"`
	Newest    *time.Time     `json:"newest"`
	Requested bool           `json:"requested"`
	Problem   *string        `json:"problem"`
	Notes     []string       `json:"notes"`
}

// Redeliver asks the provider to send failed deliveries again.
func (c *Client) Redeliver(ctx context.Context, project, provider string, order RedeliverOrder) (r Redelivery, err error) {
	err = c.Do(ctx, http.MethodPost, runPath(project, provider, "redeliver"), order, &r)
	return r, err
}
