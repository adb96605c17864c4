package client

import (
	"context"
	"net/url"
)

// Problems lists problems that authsync found, newest first, at most limit: of a project, or of all if it is empty, and
// of a state (open, closed) unless it is empty.
func (c *Client) Problems(ctx context.Context, project, state string, limit int) ([]Problem, error) {
	path := "/problems"
	if project != "" {
		path = projectPath(project) + path
	}
	query := url.Values{}
	if state != "" {
		query.Set("state", state)
	}
	return list[Problem](ctx, c, path, query, limit)
}
