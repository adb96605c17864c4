package inbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// RiverSchema is where River's tables are: beside the inbox, so that one
	// transaction holds a delivery and its job.
	RiverSchema = "authsync"
	// EventsQueue is the queue of apply_event, away from the deliveries: many
	// failing events must not hold up the others.
	EventsQueue = "events"
)

// ApplyDeliveriesArgs are the arguments of apply_deliveries: deliveries of one
// project that were committed together. They hold ids only, for River UI shows them.
type ApplyDeliveriesArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
	InboxIDs  IDs       `json:"inbox_ids"` // ascending
	// ReceivedFrom and ReceivedTo enclose the deliveries' times of receipt, so
	// that reading them touches no other day's partition.
	ReceivedFrom time.Time `json:"received_from"`
	ReceivedTo   time.Time `json:"received_to"`
}

// Kind names the job.
func (ApplyDeliveriesArgs) Kind() string { return "apply_deliveries" }

// deliveriesAttempts is how often an apply_deliveries may be begun. Only workers
// that die use up attempts, and whatever kills them, deliveries are not given up.
const deliveriesAttempts = 10_000

// InsertOpts raises River's limit of attempts.
func (ApplyDeliveriesArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: deliveriesAttempts}
}

// ApplyEventArgs are the arguments of apply_event: one event that failed.
type ApplyEventArgs struct {
	ProjectID  uuid.UUID `json:"project_id"`
	InboxID    int64     `json:"inbox_id"`
	ReceivedAt time.Time `json:"received_at"`
	Ordinal    int       `json:"ordinal"`
}

// Kind names the job.
func (ApplyEventArgs) Kind() string { return "apply_event" }

// InsertOpts makes a second job for the same event a no-op as long as the first
// one is not finished.
func (ApplyEventArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: EventsQueue,
		UniqueOpts: river.UniqueOpts{
			ByArgs: true,
			ByState: []rivertype.JobState{
				rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
				rivertype.JobStateRunning, rivertype.JobStateScheduled,
			},
		},
	}
}

// IDs are ascending ids. In JSON they are a text that PostgreSQL reads and writes
// as an int8multirange, "{[17,181),[184,185)}" for 17 to 180 and 184: short for a
// person, and one key in River's index of arguments, where an array would be a
// key an id.
type IDs []int64

// MarshalText writes the ids as a multirange.
func (ids IDs) MarshalText() ([]byte, error) {
	b := []byte{'{'}
	for i := 0; i < len(ids); {
		last := i
		for last+1 < len(ids) && ids[last+1] == ids[last]+1 {
			last++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendInt(b, ids[i], 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, ids[last]+1, 10)
		b = append(b, ')')
		i = last + 1
	}
	return append(b, '}'), nil
}

// maxIDs bounds what UnmarshalText expands: far above jobMaxDeliveries, and far
// below what a slip of the hand in a job's arguments would need to fill the memory.
const maxIDs = 100_000

// UnmarshalText reads a multirange as PostgreSQL writes it.
func (ids *IDs) UnmarshalText(text []byte) error {
	s, ok := strings.CutPrefix(string(text), "{")
	if !ok || !strings.HasSuffix(s, "}") {
		return errors.New(`ids are not of the form "{[first,end),…}"`)
	}
	*ids = nil
	for s = strings.TrimSuffix(s, "}"); s != ""; s = strings.TrimPrefix(s, ",") {
		var one string
		if one, s, ok = strings.Cut(s, ")"); !ok {
			return errors.New("a range of ids has no end")
		}
		first, end, _ := strings.Cut(strings.TrimPrefix(one, "["), ",")
		from, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return fmt.Errorf("read first id of a range: %w", err)
		}
		to, err := strconv.ParseInt(end, 10, 64)
		if err != nil {
			return fmt.Errorf("read end of a range of ids: %w", err)
		}
		if to <= from || to-from > int64(maxIDs-len(*ids)) {
			return fmt.Errorf("a range of ids is empty, or there are more than %d ids", maxIDs)
		}
		for id := from; id < to; id++ {
			*ids = append(*ids, id)
		}
	}
	return nil
}
