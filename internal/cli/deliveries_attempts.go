package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/client"
)

// printAttempts prints the last attempts of a delivery, newest first.
func (s *session) printAttempts(attempts []client.DeliveryAttempt) error {
	if len(attempts) == 0 {
		return nil
	}
	t := table{head: []string{"ATTEMPT", "RECORDED", "OUTCOME", "STATUS", "TOOK", "WHY"}}
	for _, a := range attempts {
		status, took := "-", "-"
		if a.Status != nil {
			status = strconv.Itoa(*a.Status)
		}
		if a.DurationMS != nil {
			took = (time.Duration(*a.DurationMS) * time.Millisecond).String()
		}
		t.add(count(a.Number), shortClockOrDash(a.AttemptedAt), a.Outcome, status, took, orDash(whyAttempt(a)))
	}
	if err := s.printf("\n"); err != nil {
		return err
	}
	if err := s.print(t); err != nil {
		return err
	}
	if attempts[len(attempts)-1].Number > 1 {
		return s.printf("Earlier attempts are no longer kept.\n")
	}
	return nil
}

// whyAttempt returns why an attempt had its outcome, and the beginning of the answer.
func whyAttempt(a client.DeliveryAttempt) string {
	var why []string
	if a.Outcome == "unknown" {
		why = append(why, "under way, or its process ended before the outcome was recorded: it may have arrived")
	}
	if a.Reason != nil {
		why = append(why, *a.Reason)
	}
	if a.Response != nil {
		why = append(why, "answer: "+*a.Response)
	}
	return strings.Join(why, "; ")
}
