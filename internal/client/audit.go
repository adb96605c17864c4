package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
)

// AuditFilter narrows the audit log; what is empty does not.
type AuditFilter struct {
	Project, KeyID, Action, Outcome string
	Since, Until                    time.Time // begun at Since or later, before Until
	OldestFirst                     bool
}

func (f AuditFilter) path() string {
	if f.Project == "" {
		return "/audit"
	}
	return projectPath(f.Project) + "/audit"
}

func (f AuditFilter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"key_id": f.KeyID, "action": f.Action, "outcome": f.Outcome} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		query.Set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	if f.OldestFirst {
		query.Set("order", "oldest_first")
	}
	return query
}

// Audit lists the audit log, at most limit entries.
func (c *Client) Audit(ctx context.Context, f AuditFilter, limit int) ([]AuditEntry, error) {
	return list[AuditEntry](ctx, c, f.path(), f.query(), limit)
}

// EachAudit calls do with every entry of the audit log, however many there are, until it returns an error.
func (c *Client) EachAudit(ctx context.Context, f AuditFilter, do func(AuditEntry) error) error {
	query := f.query()
	query.Set("limit", strconv.Itoa(pageSize))
	for {
		var page wire.Page[AuditEntry]
		if err := c.Do(ctx, http.MethodGet, f.path()+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, e := range page.Data {
			if err := do(e); err != nil {
				return err
			}
		}
		if page.NextCursor == nil {
			return nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}
