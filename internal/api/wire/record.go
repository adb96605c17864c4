package wire

// ListedRecord is a record of any type. Its row is served as the mirror has it, and read as an object by
// its columns; lists leave out raw.
type ListedRecord[Row any] struct {
	RecordType string `json:"record_type"`
	// RecordID is the provider's id; that of a membership is organization_id/user_id.
	RecordID string `json:"record_id"`
	Record   Row    `json:"record"`
}

// Record is a record's row in the mirror, and how it came to be.
type Record[Row any] struct {
	ListedRecord[Row]

	Sources []Source `json:"sources"`
	Changes []Change `json:"changes"`
	// NextCursor leads to older changes; nil: there are none.
	NextCursor *string `json:"next_cursor"`
}
