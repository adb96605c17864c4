package wire

import (
	"encoding/json"
	"time"
)

// AuditEntry is a management action, or refused attempts of one kind.
type AuditEntry struct {
	ID         int64      `json:"id"`
	OccurredAt time.Time  `json:"occurred_at"`
	FinishedAt *time.Time `json:"finished_at"` // nil: it is pending
	Actor      string     `json:"actor"`       // key, command, system, unknown
	// KeyID is nil where no key acted. The names and the role are as they were then.
	KeyID       *string `json:"key_id"`
	KeyName     *string `json:"key_name"`
	KeyRole     *string `json:"key_role"`
	Via         string  `json:"via"`        // api, dashboard, command, server
	Action      string  `json:"action"`     // such as destination.pause
	ProjectID   *string `json:"project_id"` // nil: it was about no project
	ProjectName *string `json:"project_name"`
	// ObjectID is what it was about within the project; that of a user or record is a digest.
	ObjectID      *string `json:"object_id"`
	RemoteAddress *string `json:"remote_address"` // nil: unknown, or a command
	UserAgent     *string `json:"user_agent"`
	RequestID     *string `json:"request_id"`
	// RequestCount is more than 1 only for refused attempts.
	RequestCount int64  `json:"request_count"`
	Outcome      string `json:"outcome"` // pending, succeeded, failed, refused
	// Status is that of the HTTP answer, and Code that of its error.
	Status *int    `json:"status"`
	Code   *string `json:"code"`
	// Changes are the fields that the action set, by their paths; text that may be a secret is a digest.
	Changes json.RawMessage `json:"changes"`
}
