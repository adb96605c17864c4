package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/authsync/authsync/internal/api/wire"
)

// OutgoingFilter narrows a list of deliveries; what is empty does not.
type OutgoingFilter struct {
	Destination, State, User, EventType string
	RecordType, RecordID                string // together
}

// Destinations lists the destinations of a project.
func (c *Client) Destinations(ctx context.Context, project string) ([]Destination, error) {
	var p wire.Page[Destination]
	err := c.Do(ctx, http.MethodGet, projectPath(project)+"/destinations", nil, &p) // they fit on a page
	return p.Data, err
}

// AddDestination makes a destination of what the API takes.
func (c *Client) AddDestination(ctx context.Context, project string, in map[string]any) (d Destination, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/destinations", in, &d)
	return d, err
}

// Destination finds a destination by its name or id.
func (c *Client) Destination(ctx context.Context, project, nameOrID string) (d Destination, err error) {
	err = c.Do(ctx, http.MethodGet, DestinationPath(project, nameOrID), nil, &d)
	return d, err
}

// ChangeDestination changes what is given of a destination.
func (c *Client) ChangeDestination(ctx context.Context, project, nameOrID string, in map[string]any) (d Destination, err error) {
	err = c.Do(ctx, http.MethodPatch, DestinationPath(project, nameOrID), in, &d)
	return d, err
}

// ActOn pauses, resumes or rotates a destination. In is a PauseOrder, a RotateOrder or nil.
func (c *Client) ActOn(ctx context.Context, project, nameOrID, action string, in any) (d Destination, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/"+action, in, &d)
	return d, err
}

// Preview shows what a destination would be sent of a change.
func (c *Client) Preview(ctx context.Context, project, nameOrID string, in PreviewOrder) (p Preview, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/preview", in, &p)
	return p, err
}

// PreviewDraft shows what a destination would be sent of a change if it were created.
func (c *Client) PreviewDraft(ctx context.Context, project string, in map[string]any) (p Preview, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/destinations/preview", in, &p)
	return p, err
}

// TestDestination sends a test event to a destination.
func (c *Client) TestDestination(ctx context.Context, project, nameOrID string, in TestOrder) (r TestResult, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/test", in, &r)
	return r, err
}

// ReplayDestination delivers again what is chosen.
func (c *Client) ReplayDestination(ctx context.Context, project, nameOrID string, in ReplayOrder) (r Replayed, err error) {
	err = c.Do(ctx, http.MethodPost, DestinationPath(project, nameOrID)+"/replay", in, &r)
	return r, err
}

// Outgoing lists deliveries to destinations, newest first, at most limit; 0 is no limit.
func (c *Client) Outgoing(ctx context.Context, project string, f OutgoingFilter, limit int) ([]Delivery, error) {
	query := url.Values{}
	for name, value := range map[string]string{
		"destination": f.Destination, "state": f.State, "user_id": f.User, "event_type": f.EventType,
		"record_type": f.RecordType, "record_id": f.RecordID,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return list[Delivery](ctx, c, projectPath(project)+"/deliveries", query, limit)
}

// OneOutgoing finds a delivery to a destination by its id, with its last attempts.
func (c *Client) OneOutgoing(ctx context.Context, project string, id int64) (d DeliveryDetail, err error) {
	err = c.Do(ctx, http.MethodGet, outgoingPath(project, id), nil, &d)
	return d, err
}

// OutgoingPreview finds a delivery with its last attempts and what it would send now.
func (c *Client) OutgoingPreview(ctx context.Context, project string, id int64) (d DeliveryDetail, err error) {
	err = c.Do(ctx, http.MethodGet, outgoingPath(project, id)+"?preview=true", nil, &d)
	return d, err
}

// ActOnOutgoing retries, cancels or confirms a delivery, and gives it as it is then.
func (c *Client) ActOnOutgoing(ctx context.Context, project string, id int64, action string) (d Delivery, err error) {
	err = c.Do(ctx, http.MethodPost, outgoingPath(project, id)+"/"+action, nil, &d)
	return d, err
}

// ConfirmOutgoing has deletions sent now that are held back.
func (c *Client) ConfirmOutgoing(ctx context.Context, project string, in ConfirmOrder) (r Confirmed, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/deliveries/confirm", in, &r)
	return r, err
}

// DestinationPath is the path of a destination behind Prefix.
func DestinationPath(project, nameOrID string) string {
	return projectPath(project) + "/destinations/" + url.PathEscape(nameOrID)
}

func outgoingPath(project string, id int64) string {
	return projectPath(project) + "/deliveries/" + strconv.FormatInt(id, 10)
}
