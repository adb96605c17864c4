package cli

import (
	"encoding/json"
	"fmt"
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

// printSent prints the requests of attempts as they were sent, newest first.
func (s *session) printSent(attempts []client.DeliveryAttempt) error {
	var b strings.Builder
	for _, a := range attempts {
		fmt.Fprintf(&b, "\nAttempt %d: %s\n", a.Number, a.Outcome)
		switch {
		case a.Requests == nil && a.Outcome == "unknown":
			b.WriteString("# what it sent is not known: that is recorded with the outcome\n")
		case a.Requests == nil:
			b.WriteString("# what it sent was not kept: --preview shows what would be sent now\n")
		case len(a.Requests) == 0:
			b.WriteString("# it made no request\n")
		case a.RequestsOmitted > 0:
			fmt.Fprintf(&b, "# the %d requests before these were not kept\n", a.RequestsOmitted)
		}
		for _, r := range a.Requests {
			b.WriteString("\n" + sentText(r))
		}
	}
	return s.printf("%s", b.String())
}

// sentText gives a request and the answer to it.
func sentText(r client.SentRequest) string {
	var b strings.Builder
	if r.Note != "" {
		b.WriteString("# " + printable(r.Note) + "\n")
	}
	b.WriteString(headOf(r.Method, r.URL, r.Headers))
	if r.Body != "" {
		b.WriteString("\n" + wholeText(r.Body) + "\n")
	}
	if r.BodyCut {
		fmt.Fprintf(&b, "# cut: the body had %d bytes\n", r.BodyBytes)
	}
	switch {
	case !r.Sent:
		b.WriteString("\n# not sent: there was no connection\n")
	case r.Status == nil:
		b.WriteString("\n# no answer\n")
	default:
		fmt.Fprintf(&b, "\n# answered %d\n", *r.Status)
	}
	if r.Response != "" {
		b.WriteString(wholeText(r.Response) + "\n")
	}
	if r.ResponseCut {
		b.WriteString("# cut\n")
	}
	return b.String()
}

// wholeText gives a body for people: JSON objects and lists indented, anything else as it is.
func wholeText(text string) string {
	if start := strings.TrimSpace(text); json.Valid([]byte(text)) && strings.ContainsAny(start[:1], "{[") {
		return bodyText(json.RawMessage(text))
	}
	return printable(text)
}
