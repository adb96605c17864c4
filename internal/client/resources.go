package client

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
)

// list reads all pages of a list, at most limit items; 0 is no limit.
func list[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) ([]T, error) {
	all := []T{}
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	for {
		size := pageSize
		if limit > 0 {
			size = min(limit-len(all), pageSize)
		}
		query.Set("limit", strconv.Itoa(size))
		var p wire.Page[T]
		if err := c.Do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		if p.NextCursor == nil || (limit > 0 && len(all) >= limit) {
			return all, nil
		}
		query.Set("cursor", *p.NextCursor)
	}
}

const pageSize = 200

// Projects lists all projects.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	return list[Project](ctx, c, "/projects", nil, 0)
}

// Project finds a project by its name or id.
func (c *Client) Project(ctx context.Context, nameOrID string) (p Project, err error) {
	err = c.Do(ctx, http.MethodGet, projectPath(nameOrID), nil, &p)
	return p, err
}

// Integrations lists the integrations of a project.
func (c *Client) Integrations(ctx context.Context, project string) ([]Integration, error) {
	var p wire.Page[Integration]
	err := c.Do(ctx, http.MethodGet, projectPath(project)+"/integrations", nil, &p) // they fit on a page
	return p.Data, err
}

// Keys lists all API keys, newest first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return list[Key](ctx, c, "/keys", nil, 0)
}

// CreateKey makes an API key.
func (c *Client) CreateKey(ctx context.Context, in KeyOrder) (k Key, err error) {
	err = c.Do(ctx, http.MethodPost, "/keys", in, &k)
	return k, err
}

// EventFilter narrows a list of events; what is empty does not.
type EventFilter struct {
	EventID, UserID, Outcome, Provider, Type string
	RecordType, RecordID                     string // together
	// IDContains is part of an id of the event, its message, its user or its record. Events takes it, and Replay does not.
	IDContains string

	Since, Until time.Time // received at Since or later, before Until
}

// values are the parameters by their names in the API.
func (f EventFilter) values() map[string]string {
	values := map[string]string{
		"event_id": f.EventID, "id_contains": f.IDContains, "user_id": f.UserID, "outcome": f.Outcome, "provider": f.Provider, "type": f.Type,
		"record_type": f.RecordType, "record_id": f.RecordID,
	}
	if !f.Since.IsZero() {
		values["since"] = f.Since.UTC().Format(time.RFC3339Nano)
	}
	if !f.Until.IsZero() {
		values["until"] = f.Until.UTC().Format(time.RFC3339Nano)
	}
	maps.DeleteFunc(values, func(_, value string) bool { return value == "" })
	return values
}

// Events lists events of a project, newest first, at most limit; 0 is no limit.
func (c *Client) Events(ctx context.Context, project string, f EventFilter, limit int) ([]Event, error) {
	query := url.Values{}
	for name, value := range f.values() {
		query.Set(name, value)
	}
	return list[Event](ctx, c, projectPath(project)+"/events", query, limit)
}

// Event finds an event by the id that lists show, with the request that
// brought it if withBody is set.
func (c *Client) Event(ctx context.Context, project, id string, withBody bool) (m Message, err error) {
	path := projectPath(project) + "/events/" + url.PathEscape(id)
	if withBody {
		path += "?body=true"
	}
	err = c.Do(ctx, http.MethodGet, path, nil, &m)
	return m, err
}

// ReplayEvent takes up one event again and returns how many jobs that made.
func (c *Client) ReplayEvent(ctx context.Context, project, id string) (jobs int, err error) {
	var r wire.Replay
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/events/"+url.PathEscape(id)+"/replay", nil, &r)
	return r.Jobs, err
}

// Replay takes up all events that the filter chooses, in as many calls as that takes.
func (c *Client) Replay(ctx context.Context, project string, f EventFilter) (jobs int, err error) {
	for in := f.values(); ; {
		var r wire.Replay
		if err = c.Do(ctx, http.MethodPost, projectPath(project)+"/events/replay", in, &r); err != nil {
			return jobs, err
		}
		jobs += r.Jobs
		if r.NextCursor == nil {
			return jobs, nil
		}
		in["cursor"] = *r.NextCursor
	}
}

// Users lists users of the mirror by id, at most limit; with an address of e-mail, only those who have it.
func (c *Client) Users(ctx context.Context, project, email string, limit int) ([]ListedUser, error) {
	query := url.Values{}
	if email != "" {
		query.Set("email", email)
	}
	return list[ListedUser](ctx, c, projectPath(project)+"/users", query, limit)
}

// RecordFilter narrows a list of records; what is empty does not.
type RecordFilter struct {
	OrganizationID, UserID string
	Email                  string // the whole address
	Name                   string // how a name begins
}

// Records lists the records of a type.
func (c *Client) Records(ctx context.Context, project, recordType string, f RecordFilter, limit int) ([]ListedRecord, error) {
	query := url.Values{}
	for name, value := range map[string]string{"organization_id": f.OrganizationID, "user_id": f.UserID, "email": f.Email, "name": f.Name} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return list[ListedRecord](ctx, c, projectPath(project)+"/records/"+url.PathEscape(recordType), query, limit)
}

// Record reads a record of the mirror.
func (c *Client) Record(ctx context.Context, project, recordType, id string) (r Record, err error) {
	err = c.Do(ctx, http.MethodGet, projectPath(project)+"/records/"+url.PathEscape(recordType)+"/"+url.PathEscape(id), nil, &r)
	return r, err
}

// Values reads which values of a record's columns have lost, and against which event.
func (c *Client) Values(ctx context.Context, project, recordType, id string) (v RecordValues, err error) {
	err = c.Do(ctx, http.MethodGet, projectPath(project)+"/records/"+url.PathEscape(recordType)+"/"+url.PathEscape(id)+"/values", nil, &v)
	return v, err
}

func projectPath(nameOrID string) string { return "/projects/" + url.PathEscape(nameOrID) }
