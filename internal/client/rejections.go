package client

import (
	"context"
	"net/url"
	"time"
)

// Rejected is a request to a webhook URL that was refused, or several of the same kind.
type Rejected struct {
	ID            int64     `json:"id"`
	Provider      string    `json:"provider"`
	ReceivedAt    time.Time `json:"received_at"`
	Status        int       `json:"status"`
	Reason        string    `json:"reason"`
	Detail        string    `json:"detail"`
	BodyBytes     *int64    `json:"body_bytes"`
	HeaderNames   []string  `json:"header_names"`
	RemoteAddress *string   `json:"remote_address"`
	RequestCount  int64     `json:"request_count"`
}

// Rejected lists refused requests of a project, newest first, at most limit; those of one
// provider if it is not empty.
func (c *Client) Rejected(ctx context.Context, project, provider string, limit int) ([]Rejected, error) {
	query := url.Values{}
	if provider != "" {
		query.Set("provider", provider)
	}
	return list[Rejected](ctx, c, projectPath(project)+"/rejected-requests", query, limit)
}
