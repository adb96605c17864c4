package wire

import "time"

// Problem is something wrong that authsync found. It closes by itself when its cause is gone.
type Problem struct {
	ID int64 `json:"id"`
	// Kind is what is wrong, for programs.
	Kind string `json:"kind"`
	// ProjectID and Project are the project that has it; nil: the whole server.
	ProjectID *string `json:"project_id"`
	Project   *string `json:"project"`
	// Subject has it within the project or server, such as a provider or the id of a destination; nil: the project or
	// server itself.
	Subject *string `json:"subject"`
	// Severity is failed (something does not work) or warning (it soon may not).
	Severity string `json:"severity"`
	// Detail is what is wrong, NextStep what to do.
	Detail     string     `json:"detail"`
	NextStep   string     `json:"next_step"`
	OpenedAt   time.Time  `json:"opened_at"`
	LastSeenAt time.Time  `json:"last_seen_at"`
	ClosedAt   *time.Time `json:"closed_at"`
	// NotifiedAt is when one of the operator's webhooks accepted the call; nil: none has.
	NotifiedAt *time.Time `json:"notified_at"`
}
