package client

import (
	"context"
	"net/url"
)

// Rejected lists refused requests of a project, newest first, at most limit; those of one
// provider if it is not empty.
func (c *Client) Rejected(ctx context.Context, project, provider string, limit int) ([]Rejected, error) {
	query := url.Values{}
	if provider != "" {
		query.Set("provider", provider)
	}
	return list[Rejected](ctx, c, projectPath(project)+"/rejected-requests", query, limit)
}
