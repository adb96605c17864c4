package cli

import (
	"strconv"

	"github.com/authsync/authsync/internal/client"
)

// printPull tells how pulling the events of an integration is going.
func (s *session) printPull(p *client.Pull) error {
	if p == nil {
		return nil
	}
	t := table{head: []string{"PULLED EVENTS", "CONNECTED SINCE", "LAST EVENT", "EVENTS"}}
	t.add(p.State, shortClockOrDash(p.ConnectedSince), shortClockOrDash(p.LastMessageAt), strconv.FormatInt(p.Messages, 10))
	if err := s.printf("\n"); err != nil {
		return err
	}
	if err := s.print(t); err != nil {
		return err
	}
	if p.WaitReason != nil {
		if err := s.printf("Pulling fails: %s. Next attempt: %s\n", printable(*p.WaitReason), shortClockOrDash(p.RetryAt)); err != nil {
			return err
		}
	}
	if p.LostAt == nil {
		return nil
	}
	then := "a reconcile was started that finds what they said"
	if p.ReconcileDue {
		then = "a reconcile finds what they said as soon as no other run is under way"
	}
	return s.printf("Events were lost at %s: %s; %s\n", shortClockOrDash(p.LostAt), printable(orNull(p.LostReason)), then)
}
