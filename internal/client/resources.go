package client

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Project is a tenant, as the API tells of it.
type Project struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Database  *string   `json:"database"` // without the password; nil where it cannot be opened
	CreatedAt time.Time `json:"created_at"`
	// MirrorRepair is there if the mirror had ever lost what was applied to it; lists do not have it.
	MirrorRepair *MirrorRepair `json:"mirror_repair,omitempty"`
}

// MirrorRepair is a mirror that had lost what was applied, and how far its repair is.
type MirrorRepair struct {
	Cause           string            `json:"cause"` // rewound or recreated
	Summary         string            `json:"summary"`
	FoundAt         time.Time         `json:"found_at"`
	LostSince       *time.Time        `json:"lost_since"`         // nil: everything was lost
	NotInInboxUntil *time.Time        `json:"not_in_inbox_until"` // nil: the inbox had all of it
	Messages        int64             `json:"messages"`
	ReplayedAt      *time.Time        `json:"replayed_at"`
	FinishedAt      *time.Time        `json:"finished_at"` // nil: it is at work
	Reconciled      []string          `json:"reconciled_providers"`
	Unreconciled    map[string]string `json:"unreconciled_providers"`
}

// Integration is a provider configured for a project.
type Integration struct {
	Provider    string                     `json:"provider"`
	Credentials map[string]CredentialState `json:"credentials"`
	Options     json.RawMessage            `json:"options"`
	Config      IntegrationConfig          `json:"config"`
	Fault       string                     `json:"fault,omitempty"` // why it cannot be used
	CreatedAt   time.Time                  `json:"created_at"`
	UpdatedAt   time.Time                  `json:"updated_at"`
}

// CredentialState tells whether a credential is set, and how many of it.
type CredentialState struct {
	Set   bool `json:"set"`
	Count int  `json:"count,omitempty"`
}

// IntegrationConfig is what to set up at the provider.
type IntegrationConfig struct {
	WebhookReceiver string `json:"webhook_receiver"`
	// Backfill is set where storing the integration started one, or says why not.
	Backfill *BackfillStart `json:"backfill,omitempty"`
	// Reconcile is when reconciles start by themselves.
	Reconcile ReconcileSchedule `json:"reconcile"`
}

// ReconcileSchedule is when reconciles start by themselves.
type ReconcileSchedule struct {
	Every   *string `json:"every"` // nil: none does
	Default bool    `json:"default"`
}

// BackfillStart tells whether storing an integration has started a backfill.
type BackfillStart struct {
	Started bool   `json:"started"`
	RunID   string `json:"run_id"`
	Reason  string `json:"reason"`
}

// Key is an API key; Key is given only when it was just made.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Key        string     `json:"key,omitempty"`
	Hint       string     `json:"hint"`
	ProjectID  *string    `json:"project_id"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

type page[T any] struct {
	Data []T    `json:"data"`
	Next string `json:"next_cursor"` // empty where the API says null
}

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
		var p page[T]
		if err := c.Do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Data...)
		if p.Next == "" || (limit > 0 && len(all) >= limit) {
			return all, nil
		}
		query.Set("cursor", p.Next)
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
	var p page[Integration]
	err := c.Do(ctx, http.MethodGet, projectPath(project)+"/integrations", nil, &p) // they fit on a page
	return p.Data, err
}

// Keys lists all API keys, newest first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return list[Key](ctx, c, "/keys", nil, 0)
}

// CreateKey makes an API key, for one project (name or id) or, if that is
// empty, for all.
func (c *Client) CreateKey(ctx context.Context, name, project string, test bool) (k Key, err error) {
	in := map[string]any{"name": name, "test": test}
	if project != "" {
		in["project_id"] = project
	}
	err = c.Do(ctx, http.MethodPost, "/keys", in, &k)
	return k, err
}

// Event is one thing that happened, and what became of it.
type Event struct {
	ID         string     `json:"id"`
	Provider   string     `json:"provider"`
	EventID    *string    `json:"event_id"`
	Type       *string    `json:"type"`
	UserID     *string    `json:"user_id"`
	EventTime  *time.Time `json:"event_time"`
	Outcome    string     `json:"outcome"`
	Reason     *string    `json:"reason"`
	ReceivedAt time.Time  `json:"received_at"`
	AppliedAt  *time.Time `json:"applied_at"`
	InboxID    int64      `json:"inbox_id"`
	Ordinal    int        `json:"ordinal"`
	MessageID  *string    `json:"message_id"`
}

// Delivery is an event with the request that brought it, which holds personal data.
type Delivery struct {
	Event

	Headers    map[string]string `json:"headers,omitempty"`
	Body       *string           `json:"body,omitempty"`
	BodyBase64 *string           `json:"body_base64,omitempty"` // where the body is not UTF-8
}

// User is a user as the mirror has it, and how it came to be.
type User struct {
	User    map[string]any `json:"user"`
	Sources []Source       `json:"sources"`
	Changes []Change       `json:"changes"`
	// NextCursor leads to older changes; nil: there are none.
	NextCursor *string `json:"next_cursor"`
}

// Source tells which event said the value of a column, and when by the
// provider's clock; nil where no event spoke of it.
type Source struct {
	Column  string     `json:"column"`
	EventID *string    `json:"event_id"`
	SetAt   *time.Time `json:"set_at"`
	SentAt  *time.Time `json:"sent_at"`
}

// Change is a row of the change feed.
type Change struct {
	ID        int64     `json:"id"`
	Kind      string    `json:"kind"`
	Changed   []string  `json:"changed"`
	Provider  string    `json:"provider"`
	EventID   string    `json:"event_id"`
	EventAt   time.Time `json:"event_at"`
	ChangedAt time.Time `json:"changed_at"`

	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// EventFilter narrows a list of events; what is empty does not.
type EventFilter struct {
	EventID, UserID, Outcome, Provider, Type string

	Since, Until time.Time // received at Since or later, before Until
}

// values are the parameters by their names in the API.
func (f EventFilter) values() map[string]string {
	values := map[string]string{
		"event_id": f.EventID, "user_id": f.UserID, "outcome": f.Outcome, "provider": f.Provider, "type": f.Type,
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
func (c *Client) Event(ctx context.Context, project, id string, withBody bool) (d Delivery, err error) {
	path := projectPath(project) + "/events/" + url.PathEscape(id)
	if withBody {
		path += "?body=true"
	}
	err = c.Do(ctx, http.MethodGet, path, nil, &d)
	return d, err
}

// replayed is the answer to a replay.
type replayed struct {
	Jobs int `json:"jobs"`
}

// ReplayEvent takes up one event again and returns how many jobs that made.
func (c *Client) ReplayEvent(ctx context.Context, project, id string) (jobs int, err error) {
	var r replayed
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/events/"+url.PathEscape(id)+"/replay", nil, &r)
	return r.Jobs, err
}

// Replay takes up all events that the filter chooses.
func (c *Client) Replay(ctx context.Context, project string, f EventFilter) (jobs int, err error) {
	var r replayed
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/events/replay", f.values(), &r)
	return r.Jobs, err
}

// ListedUser is a user as lists show it.
type ListedUser struct {
	ID           string     `json:"id"`
	Email        *string    `json:"email"`
	FirstName    *string    `json:"first_name"`
	LastName     *string    `json:"last_name"`
	Username     *string    `json:"username"`
	CreatedAt    *time.Time `json:"created_at"`
	LastSignInAt *time.Time `json:"last_sign_in_at"`
	DeletedAt    *time.Time `json:"deleted_at"`
	Provider     *string    `json:"provider"`
}

// Users lists users of the mirror by id, at most limit; with an address of e-mail, only those who have it.
func (c *Client) Users(ctx context.Context, project, email string, limit int) ([]ListedUser, error) {
	query := url.Values{}
	if email != "" {
		query.Set("email", email)
	}
	return list[ListedUser](ctx, c, projectPath(project)+"/users", query, limit)
}

// User reads a user of the mirror.
func (c *Client) User(ctx context.Context, project, userID string) (u User, err error) {
	err = c.Do(ctx, http.MethodGet, projectPath(project)+"/users/"+url.PathEscape(userID), nil, &u)
	return u, err
}

func projectPath(nameOrID string) string { return "/projects/" + url.PathEscape(nameOrID) }
