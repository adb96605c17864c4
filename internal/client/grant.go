package client

import (
	"context"
	"net/http"
)

// Grant lets a role of the project's database read the mirror.
func (c *Client) Grant(ctx context.Context, project string, reader Reader) (g Grant, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/grants", reader, &g)
	return g, err
}
