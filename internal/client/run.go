package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// The kinds of runs.
const (
	Backfill  = "backfill"
	Reconcile = "reconcile"
)

// Run is a backfill or a reconcile.
type Run struct {
	ID          string     `json:"id"`
	ProjectID   string     `json:"project_id"`
	Provider    string     `json:"provider"`
	Kind        string     `json:"kind"`
	DryRun      bool       `json:"dry_run"`
	Force       bool       `json:"force"`
	State       string     `json:"state"`
	Phase       string     `json:"phase"`
	Total       *int64     `json:"total"`
	Read        int64      `json:"read"`
	Applied     int64      `json:"applied"`
	Unchanged   int64      `json:"unchanged"`
	Failed      int64      `json:"failed"`
	PerSecond   *float64   `json:"per_second"`
	SecondsLeft *float64   `json:"seconds_left"`
	WaitReason  *string    `json:"wait_reason"`
	Error       *string    `json:"error"`
	Report      RunReport  `json:"report"`
	Drift       *Drift     `json:"drift"`
	StartedAt   time.Time  `json:"started_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	FinishedAt  *time.Time `json:"finished_at"`
}

// RunReport is what a person should know of it beside the numbers.
type RunReport struct {
	Bad   []RunEntry `json:"bad"`
	Notes []string   `json:"notes,omitempty"`
}

// RunEntry is an entry that is not in the mirror.
type RunEntry struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// Drift is how mirror and provider differed; of a reconcile only.
type Drift struct {
	Missing                int64            `json:"missing"`
	Differing              int64            `json:"differing"`
	DeletedHere            int64            `json:"deleted_here"`
	Orphaned               int64            `json:"orphaned"`
	Placeholders           int64            `json:"placeholders"`
	Columns                map[string]int64 `json:"columns"`
	Unreported             int64            `json:"unreported"`
	Tolerated              map[string]int64 `json:"tolerated"`
	Repaired               int64            `json:"repaired"`
	Failed                 int64            `json:"failed"`
	Left                   int64            `json:"left"`
	DeletionsBlockedReason *string          `json:"deletions_blocked_reason"`
	Users                  []Drifted        `json:"users"`
	Compared               int64            `json:"compared"`
	Restarts               int              `json:"restarts,omitempty"`
}

// Drifted is a user that differs, or differed.
type Drifted struct {
	UserID  string   `json:"user_id"`
	Finding string   `json:"finding"`
	Columns []string `json:"columns"`
	State   string   `json:"state"`
}

// Order is what a reconcile may be told.
type Order struct {
	DryRun bool `json:"dry_run,omitempty"`
	Force  bool `json:"force,omitempty"`
}

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
