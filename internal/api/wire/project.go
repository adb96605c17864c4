package wire

import (
	"encoding/json"
	"time"
)

// Project is a tenant.
type Project struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Database is the connection URL without the password; nil where it cannot be opened.
	Database  *string   `json:"database"`
	CreatedAt time.Time `json:"created_at"`
	// KeepDays is what the project sets of how long its history is kept.
	KeepDays KeepDays `json:"keep_days"`
	// Retention is how long each part is kept, by its name: inbox, ledger, changes, deliveries.
	Retention map[string]Retention `json:"retention"`
	// Pruning is there for one project, once its ledger and changes were pruned.
	Pruning *Pruning `json:"pruning,omitempty"`
	// MirrorRepair is there for one project, if its mirror had ever lost something.
	MirrorRepair *MirrorRepair `json:"mirror_repair,omitempty"`
	// Clone is there if the mirror is made from that of another project.
	Clone *Clone `json:"clone,omitempty"`
}

// Clone is how a project's mirror is made from that of another one, its source, and how far it is.
type Clone struct {
	SourceID   *string `json:"source_id"` // nil: it was detached
	SourceName string  `json:"source_name"`
	Mode       string  `json:"mode"`  // CloneFollowing or CloneStill
	State      string  `json:"state"` // one of these, or CloneCopying
	// Summary is the same in words.
	Summary       string     `json:"summary"`
	RowsExpected  *int64     `json:"rows_expected"` // an estimate; nil: not known yet
	RowsCopied    int64      `json:"rows_copied"`
	ChangesCopied int64      `json:"changes_copied"`
	ChangesBehind *int64     `json:"changes_behind"` // at most; nil: not known yet
	CopiedAt      *time.Time `json:"copied_at"`      // when the last full copy ended
	CaughtUpAt    *time.Time `json:"caught_up_at"`   // when it last had all that the source had
	WaitReason    *string    `json:"wait_reason"`
	CreatedAt     time.Time  `json:"created_at"`
}

// The states of a Clone: it copies until it follows its source or stands still. The latter two are its modes, too.
const (
	CloneCopying   = "copying"
	CloneFollowing = "following"
	CloneStill     = "still"
)

// CloneOf asks for a project that is a clone of another one.
type CloneOf struct {
	Project string `json:"project"` // the source, by name or id
	Mode    string `json:"mode,omitempty"`
}

// CloneOrder asks for a clone to be copied in full once more, and says what it does then.
type CloneOrder struct {
	Mode string `json:"mode,omitempty"` // following or still; empty: as before
	Copy *bool  `json:"copy,omitempty"` // false: it stands still at once, as it is
}

// KeepDays are settings in days; nil: the server's default.
type KeepDays struct {
	Inbox      *int `json:"inbox"`
	Ledger     *int `json:"ledger"`
	Changes    *int `json:"changes"`
	Deliveries *int `json:"deliveries"`
}

// Retention is how long a part of a project's history is kept.
type Retention struct {
	Days *int `json:"days"` // nil: forever
	// Source is project, server, or raised: the server's default would be too short.
	Source string `json:"source"`
}

// Pruning is how the last pruning of a project's ledger and changes went.
type Pruning struct {
	AttemptedAt time.Time  `json:"attempted_at"`
	FinishedAt  *time.Time `json:"finished_at"` // when everything was last gone, apart from what is held; nil: never yet
	HeldReason  *string    `json:"held_reason"` // why rows past their retention stay; nil: none do
	HeldSince   *time.Time `json:"held_since"`
	LastError   *string    `json:"last_error"` // why the last attempt ended early; nil: it did not
}

// MirrorRepair is a mirror that had lost what was applied, and how far its repair is.
type MirrorRepair struct {
	Cause               string            `json:"cause"` // rewound or recreated
	Summary             string            `json:"summary"`
	FoundAt             time.Time         `json:"found_at"`
	LostSince           *time.Time        `json:"lost_since"`           // nil: everything was lost
	NotInInboxUntil     *time.Time        `json:"not_in_inbox_until"`   // nil: the inbox had all of it
	ReturnedUsers       int64             `json:"returned_users"`       // users whom it had again although they had been erased
	ReturnedInvitations int64             `json:"returned_invitations"` // likewise invitations
	Messages            int64             `json:"messages"`
	ReplayedAt          *time.Time        `json:"replayed_at"`
	FinishedAt          *time.Time        `json:"finished_at"` // nil: it is at work
	Reconciled          []string          `json:"reconciled_providers"`
	Unreconciled        map[string]string `json:"unreconciled_providers"`
}

// Integration is a provider configured for a project.
type Integration struct {
	Provider    string                     `json:"provider"`
	Credentials map[string]CredentialState `json:"credentials"` // nil where they cannot be opened
	// Secrets are those that verify messages, the newest first, and those that did lately; one integration has them, a list does not.
	Secrets []VerifyingSecret `json:"secrets,omitempty"`
	Options json.RawMessage   `json:"options"`
	Config  IntegrationConfig `json:"config"`
	// Pull is how pulling the provider's events is going; nil without the option pull.
	Pull *Pull `json:"pull,omitempty"`
	// Fault says why the integration cannot be used; empty if it can.
	Fault string `json:"fault,omitempty"`
	// AccountMark names the account whose users the mirror has; nil: it is not known.
	AccountMark *string   `json:"account_mark"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Pull is how pulling a provider's events is going.
type Pull struct {
	State          string     `json:"state"`           // connected, waiting, failing
	ConnectedSince *time.Time `json:"connected_since"` // nil: it is not
	CursorMovedAt  *time.Time `json:"cursor_moved_at"`
	Messages       int64      `json:"messages"`
	LastMessageAt  *time.Time `json:"last_message_at"`
	WaitReason     *string    `json:"wait_reason"` // nil: nothing is wrong
	RetryAt        *time.Time `json:"retry_at"`
	LostAt         *time.Time `json:"lost_at"` // nil: nothing was lost
	LostReason     *string    `json:"lost_reason"`
	ReconcileDue   bool       `json:"reconcile_due"`
}

// CredentialState tells whether a credential is set, and how many of it.
type CredentialState struct {
	Set   bool `json:"set"`
	Count int  `json:"count,omitempty"`
}

// VerifyingSecret is a secret that verifies messages, by a name that does not reveal it.
type VerifyingSecret struct {
	Name string `json:"name"` // the first 4 digits of its SHA-256
	// RecentMessages is how many of the newest thousand messages it has verified.
	RecentMessages int64      `json:"recent_messages"`
	LastUsedAt     *time.Time `json:"last_used_at"` // nil: by none of them
	// Accepted is false for one that is no longer stored.
	Accepted bool `json:"accepted"`
}

// IntegrationConfig is what to set up at the provider.
type IntegrationConfig struct {
	// WebhookReceiver is the URL to give to the provider.
	WebhookReceiver string `json:"webhook_receiver"`
	// Backfill is set where storing the integration started one, or says why not.
	Backfill *BackfillStart `json:"backfill,omitempty"`
	// Notes are sentences about what storing the integration means.
	Notes []string `json:"notes,omitempty"`
	// Reconcile says how often the mirror is compared with the provider by itself.
	Reconcile ReconcileSchedule `json:"reconcile"`
	// Webhook is the webhook that authsync sets up at the provider by itself; nil: it was never asked for, and of a list.
	Webhook *ProvisionedWebhook `json:"webhook,omitempty"`
}

// ProvisionedWebhook is a webhook that authsync sets up at a provider, and how far it is.
type ProvisionedWebhook struct {
	State string `json:"state"` // pending, testing, ready, blocked, unmanaged
	// ID is the provider's id of it; nil: none is known. Made: authsync created it, and removes it with the integration.
	ID                 *string         `json:"id"`
	Made               bool            `json:"made"`
	URL                *string         `json:"url"`
	EventTypes         []string        `json:"event_types"`
	Steps              []ProvisionStep `json:"steps"`
	MissingPermissions []string        `json:"missing_permissions"`
	Problem            *string         `json:"problem"`
	// Differences are what it differs in from what it should be, by the last comparison with the provider.
	Differences []string   `json:"differences"`
	ComparedAt  *time.Time `json:"compared_at"` // nil: never
	// ComparisonProblem says why it could not be compared now; nil: it could, or was not to be.
	ComparisonProblem *string `json:"comparison_problem"`
}

// ProvisionStep is a step that leads to a webhook.
type ProvisionStep struct {
	Name   string `json:"name"`  // permissions, webhook, test_sent, test_arrived
	State  string `json:"state"` // done, waiting, failed
	Detail string `json:"detail"`
}

// ReconcileSchedule is when reconciles start by themselves.
type ReconcileSchedule struct {
	Every   *string `json:"every"`   // nil: none does
	Default bool    `json:"default"` // the options do not say it
}

// BackfillStart tells whether storing an integration has started a backfill.
type BackfillStart struct {
	Started bool    `json:"started"`
	RunID   *string `json:"run_id"` // of the run that is not finished
	Reason  *string `json:"reason"` // why it was not started
}

// Key is an API key. Key is the key itself, in the answer that made it and nowhere else.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Key        string     `json:"key,omitempty"`
	Hint       string     `json:"hint"`
	ProjectID  *string    `json:"project_id"`
	Role       string     `json:"role"` // read_only, operator, admin
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"` // nil: never
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

// KeyOrder makes an API key.
type KeyOrder struct {
	Name string `json:"name"`
	Test bool   `json:"test"`
	// ProjectID, or a project's name, limits the key to that project.
	ProjectID *string `json:"project_id,omitempty"`
	Role      *string `json:"role,omitempty"`       // nil: admin
	ExpiresAt *string `json:"expires_at,omitempty"` // RFC 3339; nil: never
}

// Reader is what a role of the project's database shall be able to do with the mirror.
type Reader struct {
	Role       string   `json:"role"`
	Read       []string `json:"read"` // mirror, feed
	EnsureUser bool     `json:"ensure_user"`
}

// Grant is what a role may do with a mirror.
type Grant struct {
	Role    string       `json:"role"`
	Granted []string     `json:"granted"`
	Sees    []Visibility `json:"sees"`
}

// Visibility is what a role sees of a table or view of a mirror.
type Visibility struct {
	Relation    string   `json:"relation"`
	Rows        string   `json:"rows"`
	RowSecurity bool     `json:"row_security"`
	Policies    []string `json:"policies"`
}
