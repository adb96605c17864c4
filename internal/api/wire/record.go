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

// RecordValues are the values that events have for the columns of a record.
type RecordValues struct {
	RecordType string         `json:"record_type"`
	RecordID   string         `json:"record_id"`
	Columns    []ColumnValues `json:"columns"`
	// EventsRead is how many events were read, the newest, and HasMore says that there are older ones.
	EventsRead int  `json:"events_read"`
	HasMore    bool `json:"has_more"`
}

// ColumnValues are the event that set a column, and the other values that lost against it, newest event first. A value that
// several events have is there once.
type ColumnValues struct {
	Source

	Lost []LostValue `json:"lost"`
}

// LostValue is a value that a column does not show, and the event that has it: one that is older than the event which set
// the column, or that has not been applied.
type LostValue struct {
	Event Event `json:"event"`
	// Value is the beginning of it, as a text; nil: the event clears the column.
	Value *string `json:"value"`
}
