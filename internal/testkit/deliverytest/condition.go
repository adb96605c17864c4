package deliverytest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
)

// PausedForItsCondition is the state of a destination whose condition has cost too many workers; see Bundle.StateOf.
const PausedForItsCondition = "paused system condition took longer than 100ms; change the condition, and resume the destination"

// condition is a filter that wants all events of its types but what its text says.
type condition struct {
	eventTypes []string
	text       *string
	b          *Bundle

	mu    sync.Mutex
	kills int
}

// kill is what an expression comes to that costs a worker each time.
func (s *condition) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.kills++
	s.b.kills++
	why := &jq.RunError{Detail: "condition took longer than 100ms", Halt: s.kills == jq.MaxKills}
	if why.Halt {
		s.kills = 0
	}
	return destination.ExpressionError(why, why.Detail)
}

func (s *condition) Wants(m destination.Message) (bool, string, error) {
	switch {
	case !slices.Contains(s.eventTypes, m.EventType):
		return false, "its event type", nil
	case s.text == nil:
		return true, "it wants every change", nil
	case *s.text == "slow":
		s.b.SetClock(s.b.Now().Add(time.Second))
		return true, "the condition says so after a second", nil
	case strings.HasPrefix(*s.text, "bomb "): // for some users
		if strings.HasPrefix(m.RecordID, strings.TrimPrefix(*s.text, "bomb ")) {
			return false, "", s.kill()
		}
		return true, "the condition says so", nil
	case *s.text == "worker": // for which a worker is needed
		s.b.mu.Lock()
		defer s.b.mu.Unlock()
		if s.b.noWorker {
			why := &jq.UnavailableError{Err: errors.New("start a worker: resource temporarily unavailable")}
			return false, "", destination.ExpressionError(why, why.Error())
		}
		return true, "the condition says so", nil
	case *s.text == "error":
		return false, "", errors.New("cannot iterate over null")
	default:
		return strings.Contains(string(m.Row), *s.text), "the condition says so", nil
	}
}
