package client

import (
	"context"
	"net/http"
)

// SetClone has a clone copied in full once more, and says what it does then.
func (c *Client) SetClone(ctx context.Context, project string, in CloneOrder) (p Project, err error) {
	err = c.Do(ctx, http.MethodPut, projectPath(project)+"/clone", in, &p)
	return p, err
}
