package client

import (
	"context"
	"net/http"
	"net/url"
)

// Refresh reads a record from the provider and brings the mirror to it. An empty
// provider is the one that the record came from.
func (c *Client) Refresh(ctx context.Context, project, recordType, recordID, provider string) (r Repair, err error) {
	body := map[string]string{}
	if provider != "" {
		body["provider"] = provider
	}
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/records/"+url.PathEscape(recordType)+"/"+url.PathEscape(recordID)+"/refresh", body, &r)
	return r, err
}

// Redeliver asks the provider to send failed deliveries again.
func (c *Client) Redeliver(ctx context.Context, project, provider string, order RedeliverOrder) (r Redelivery, err error) {
	err = c.Do(ctx, http.MethodPost, runPath(project, provider, "redeliver"), order, &r)
	return r, err
}
