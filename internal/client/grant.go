package client

import (
	"context"
	"net/http"
)

// Reader is what a role shall be able to do with a mirror.
type Reader struct {
	Role       string   `json:"role"`
	Read       []string `json:"read"` // mirror, feed
	EnsureUser bool     `json:"ensure_user"`
}

// Visibility is what a role sees of a table or view of a mirror.
type Visibility struct {
	Relation    string   `json:"relation"`
	Rows        string   `json:"rows"`
	RowSecurity bool     `json:"row_security"`
	Policies    []string `json:"policies"`
}

// Grant is what a role may do with a mirror.
type Grant struct {
	Role    string       `json:"role"`
	Granted []string     `json:"granted"`
	Sees    []Visibility `json:"sees"`
}

// Grant lets a role of the project's database read the mirror.
func (c *Client) Grant(ctx context.Context, project string, reader Reader) (g Grant, err error) {
	err = c.Do(ctx, http.MethodPost, projectPath(project)+"/grants", reader, &g)
	return g, err
}
