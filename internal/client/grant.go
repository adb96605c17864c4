package client

import (
	"context"
	"net/http"
)

// Grant is what a role may do with a mirror.
type Grant struct {
	Role    string   `json:"role"`
	Granted []string `json:"granted"`
}

// Grant lets a role of the project's database read the mirror.
func (c *Client) Grant(ctx context.Context, project, role string) (g Grant, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/grants", map[string]string{"role": role}, &g)
	return g, err
}
