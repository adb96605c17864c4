package wire

import "time"

// Erasure is the erasure of a person and, once it is done, its receipt. It holds no personal data.
type Erasure struct {
	ID string `json:"id"`
	// Digest is that of the erased id, in hexadecimal: SHA-256 with the project's erasure key.
	Digest      string `json:"digest"`
	RequestedBy string `json:"requested_by"`
	State       string `json:"state"` // running or done
	Phase       string `json:"phase"`
	// Counts are the rows that were removed or rewritten, by table.
	Counts       map[string]int64 `json:"counts"`
	Destinations []ErasureAnswer  `json:"destinations"`
	Clones       []CloneErasure   `json:"clones"`
	WaitReason   *string          `json:"wait_reason"`
	RequestedAt  time.Time        `json:"requested_at"`
	MarkedAt     *time.Time       `json:"marked_at"` // the person cannot come back since then
	FinishedAt   *time.Time       `json:"finished_at"`
}

// CloneErasure is the erasure of the same person from a clone of the project.
type CloneErasure struct {
	Project    string     `json:"project"`
	ErasureID  string     `json:"erasure_id"` // in that project
	State      string     `json:"state"`      // running, done, detached, or unfinished
	WaitReason *string    `json:"wait_reason"`
	FinishedAt *time.Time `json:"finished_at"`
}

// ErasureAnswer is what a destination made of an erasure.
type ErasureAnswer struct {
	Name   string     `json:"name"`
	Type   string     `json:"type"`
	State  string     `json:"state"`
	Status *int       `json:"status"`
	Reason *string    `json:"reason"`
	At     *time.Time `json:"at"`
}
