package client

import (
	"context"
	"net/http"
	"net/url"
)

// EraseUser begins the erasure of a user, which cannot be undone. One that runs already is returned as it is.
func (c *Client) EraseUser(ctx context.Context, project, userID string) (e Erasure, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/users/"+url.PathEscape(userID)+"/erase", map[string]string{"confirm": userID}, &e)
	return e, err
}

// Erasure reads an erasure or its receipt.
func (c *Client) Erasure(ctx context.Context, project, id string) (e Erasure, err error) {
	err = c.Do(ctx, http.MethodGet, projectPath(project)+"/erasures/"+url.PathEscape(id), nil, &e)
	return e, err
}

// Erasures lists the newest erasures of a project, at most limit; 0: all.
func (c *Client) Erasures(ctx context.Context, project string, limit int) ([]Erasure, error) {
	return list[Erasure](ctx, c, projectPath(project)+"/erasures", nil, limit)
}
