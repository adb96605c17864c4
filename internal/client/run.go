package client

import (
	"context"
	"net/http"
	"net/url"
)

// The kinds of runs.
const (
	Backfill  = "backfill"
	Reconcile = "reconcile"
)

func runPath(project, provider, kind string) string {
	return projectPath(project) + "/integrations/" + url.PathEscape(provider) + "/" + kind
}

// StartRun starts a run; while one of either kind is unfinished the status is 409.
// order is nil for a backfill.
func (c *Client) StartRun(ctx context.Context, project, provider, kind string, order *Order) (r Run, err error) {
	var body any
	if order != nil {
		body = order
	}
	err = c.Do(ctx, http.MethodPost, runPath(project, provider, kind), body, &r)
	return r, err
}

// LatestRun gives the newest run of a kind.
func (c *Client) LatestRun(ctx context.Context, project, provider, kind string) (r Run, err error) {
	err = c.Do(ctx, http.MethodGet, runPath(project, provider, kind), nil, &r)
	return r, err
}

// CancelRun cancels the unfinished run of a kind.
func (c *Client) CancelRun(ctx context.Context, project, provider, kind string) (r Run, err error) {
	err = c.Do(ctx, http.MethodDelete, runPath(project, provider, kind), nil, &r)
	return r, err
}
