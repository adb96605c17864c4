package wire

import "time"

// Run is a backfill or a reconcile, and how far it is.
type Run struct {
	ID        string `json:"id"`
	ProjectID string `json:"project_id"`
	Provider  string `json:"provider"`
	Kind      string `json:"kind"`
	DryRun    bool   `json:"dry_run"`
	Force     bool   `json:"force"`
	State     string `json:"state"`
	Phase     string `json:"phase"`
	// Total is how many users the provider says there are; nil where it does not say.
	Total *int64 `json:"total"`
	// Read, Applied, Unchanged and Failed count records of every type.
	Read      int64 `json:"read"`
	Applied   int64 `json:"applied"`
	Unchanged int64 `json:"unchanged"`
	Failed    int64 `json:"failed"`
	// PerSecond is the rate while it worked; nil as long as it is not known.
	PerSecond *float64 `json:"per_second"`
	// SecondsLeft is estimated; nil where rate or total are not known, or it has ended.
	SecondsLeft *float64  `json:"seconds_left"`
	WaitReason  *string   `json:"wait_reason"`
	Error       *string   `json:"error"`
	Report      RunReport `json:"report"`
	Drift       *Drift    `json:"drift"`
	StartedAt   time.Time `json:"started_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	// ProgressedAt is when its last page was committed; before the first, StartedAt.
	ProgressedAt time.Time  `json:"progressed_at"`
	FinishedAt   *time.Time `json:"finished_at"`
}

// Users is how many of the records that were read are users.
func (r Run) Users() int64 {
	users := r.Read
	for recordType, n := range r.Report.Records {
		if recordType != "user" {
			users -= n
		}
	}
	return users
}

// RunReport is what a person should know of a run beside its numbers.
type RunReport struct {
	Bad   []RunEntry `json:"bad"` // the first hundred
	Notes []string   `json:"notes,omitempty"`
	// Records is how many records were read, by type.
	Records map[string]int64 `json:"records,omitempty"`
}

// RunEntry is an entry that is not in the mirror.
type RunEntry struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// TypeDrift is how mirror and provider differed in the records of one type. For the meaning of the
// numbers see syncrun.TypeDrift.
type TypeDrift struct {
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
	Recent                 int64            `json:"recent"`
	DeletionsBlockedReason *string          `json:"deletions_blocked_reason"`
	Compared               int64            `json:"compared"`
}

// Found is how many records differ.
func (d TypeDrift) Found() int64 {
	return d.Missing + d.Differing + d.DeletedHere + d.Orphaned + d.Placeholders
}

// Drift is how mirror and provider differed, in users and in the records of other types; of a
// reconcile only.
type Drift struct {
	TypeDrift

	Users    []Drifted              `json:"users"` // the first hundred
	Records  map[string]RecordDrift `json:"records"`
	Restarts int                    `json:"restarts,omitempty"`
}

// Total is the sum over all types of what number gives.
func (d Drift) Total(number func(TypeDrift) int64) int64 {
	total := number(d.TypeDrift)
	for _, of := range d.Records {
		total += number(of.TypeDrift)
	}
	return total
}

// RecordDrift is the drift of a type other than users.
type RecordDrift struct {
	TypeDrift

	Examples       []DriftedRecord `json:"examples"` // the first hundred
	UnlistedReason *string         `json:"unlisted_reason"`
}

// DriftedRecord is a record that differs, or differed.
type DriftedRecord struct {
	RecordID string   `json:"record_id"`
	Finding  string   `json:"finding"`
	Columns  []string `json:"columns"`
	State    string   `json:"state"`
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

// RedeliverOrder says which failed deliveries are meant; what is empty bounds nothing.
type RedeliverOrder struct {
	Since  string `json:"since,omitempty"`
	Until  string `json:"until,omitempty"`
	Stream string `json:"stream,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Redelivery is what was found and asked for.
type Redelivery struct {
	DryRun bool `json:"dry_run"`
	// From and To are the bounds as the provider got them.
	From    *time.Time         `json:"since"`
	To      *time.Time         `json:"until"`
	Streams []RedeliveryStream `json:"streams"`
}

// RedeliveryStream is one event stream of the provider; see userapi.RedeliveryStream.
type RedeliveryStream struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Endpoint  string         `json:"endpoint"`
	Enabled   bool           `json:"enabled"`
	Failed    int            `json:"failed"`
	Complete  bool           `json:"complete"`
	Types     map[string]int `json:"types"`
	Oldest    *time.Time     `json:"oldest"`
	Newest    *time.Time     `json:"newest"`
	Requested bool           `json:"requested"`
	Problem   *string        `json:"problem"`
	Notes     []string       `json:"notes"`
}
