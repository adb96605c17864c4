package http

import (
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
)

// Status is a status, such as 404, or a class, such as "5xx".
type Status struct {
	first, last int
}

// UnmarshalJSON accepts a number, or a string with a number or a class.
func (s *Status) UnmarshalJSON(b []byte) error {
	text := strings.ToLower(strings.Trim(string(b), `" `))
	if class, is := strings.CutSuffix(text, "xx"); is {
		text = class + "00"
		s.last = 99
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 200 || n > 599 {
		return fmt.Errorf("%.20s is no status: give a number from 200 to 599, or a class such as \"5xx\"", b)
	}
	s.first, s.last = n, n+s.last
	return nil
}

// MarshalJSON writes the status as it was given.
func (s Status) MarshalJSON() ([]byte, error) {
	if s.first != s.last {
		return json.Marshal(strconv.Itoa(s.first/100) + "xx")
	}
	return json.Marshal(s.first)
}

// outcomes maps statuses to outcomes.
type outcomes [600]destination.Outcome

func (o *outcomes) of(status int) destination.Outcome {
	if status < 0 || status >= len(o) {
		return destination.GiveUp
	}
	return o[status]
}

// setStatuses applies the configured statuses to the defaults; a number overrides a class.
func (h *api) setStatuses() error {
	for status := range h.outcomes {
		switch {
		case status >= 200 && status < 300:
			h.outcomes[status] = destination.Delivered
		case status >= 500, status == nethttp.StatusRequestTimeout, status == nethttp.StatusTooEarly, status == nethttp.StatusTooManyRequests:
			h.outcomes[status] = destination.Retry
		case status == nethttp.StatusUnauthorized:
			// No request can succeed until the credentials are fixed, so no attempt is counted.
			h.outcomes[status] = destination.Pause
		default:
			h.outcomes[status] = destination.GiveUp
		}
	}
	lists := []struct {
		name     string
		statuses []Status
		outcome  destination.Outcome
	}{
		{"success", h.options.Success, destination.Delivered},
		{"retry", h.options.Retry, destination.Retry},
		{"give_up", h.options.GiveUp, destination.GiveUp},
	}
	for _, classes := range []bool{true, false} {
		said := map[int]string{}
		for _, list := range lists {
			for _, s := range list.statuses {
				if (s.first != s.last) != classes {
					continue
				}
				if other, is := said[s.first]; is && other != list.name {
					return fault.Newf(fault.Invalid, "options.%s and options.%s both name the status %d: leave it in one of them", other, list.name, s.first)
				}
				said[s.first] = list.name
				for status := s.first; status <= s.last; status++ {
					h.outcomes[status] = list.outcome
				}
			}
		}
	}
	return nil
}
