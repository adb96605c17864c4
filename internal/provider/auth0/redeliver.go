package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// The Management API permissions that a redelivery needs.
const (
	readEventStreams     = "read:event_streams"
	readEventDeliveries  = "read:event_deliveries"
	writeEventDeliveries = "update:event_deliveries"
	writeEventStreams    = "update:event_streams"
)

// whole is the time format of these calls: no fraction, 20 characters.
const whole = "2006-01-02T15:04:05Z"

// Redeliver counts the failed deliveries of the tenant's event streams to the project's webhook URL
// and asks Auth0 to send them again; see userapi.Redeliverer. It needs the permissions
// read:event_streams, read:event_deliveries and update:event_deliveries.
func (s *source) Redeliver(ctx context.Context, projectID string, r userapi.RedeliverRequest) (userapi.Redelivery, error) {
	r.From, r.To = outwards(r.From, r.To)
	streams, err := s.streams(ctx, projectID, r.Stream)
	if err != nil {
		return userapi.Redelivery{}, err
	}
	result := userapi.Redelivery{DryRun: r.DryRun, From: orNil(r.From), To: orNil(r.To)}
	budget := budget{pages: countPages, until: s.client.Now().Add(countTime)}
	var first error
	good := 0
	for _, stream := range streams {
		one, err := s.redeliver(ctx, stream, projectID, r, &budget)
		if err != nil {
			text := err.Error()
			one.Problem = &text
			if first == nil {
				first = err
			}
		} else {
			good++
		}
		result.Streams = append(result.Streams, one)
	}
	if good == 0 {
		return userapi.Redelivery{}, first
	}
	return result, nil
}

// redeliver handles one stream. Its result is valid as far as it goes, even with an error.
func (s *source) redeliver(
	ctx context.Context, of eventStream, projectID string, r userapi.RedeliverRequest, b *budget,
) (userapi.RedeliveryStream, error) {
	result := userapi.RedeliveryStream{
		ID: of.ID, Name: of.Name, Endpoint: of.endpoint(), Enabled: of.Status != streamDisabled,
		Types: map[string]int{}, Notes: of.notes(projectID),
	}
	if err := s.countFailed(ctx, &result, r, b); err != nil {
		return result, err
	}
	if r.DryRun || result.Failed == 0 && result.Complete {
		return result, nil
	}
	err := s.ask(ctx, of.ID, r)
	result.Requested = err == nil
	return result, err
}

// ask requests redelivery of all failed deliveries of a stream, whether or not they were counted.
func (s *source) ask(ctx context.Context, stream string, r userapi.RedeliverRequest) error {
	const what = "ask for a redelivery"
	body := map[string]any{"statuses": []string{statusFailed}}
	if !r.From.IsZero() {
		body["date_from"] = r.From.Format(whole)
	}
	if !r.To.IsZero() {
		body["date_to"] = r.To.Format(whole)
	}
	answer, err := s.doWith(ctx, writeEventDeliveries, userapi.Request{
		What: what, Method: http.MethodPost, URL: s.base + streamPath(stream, "/redeliver"), JSON: body,
		Read: func(body []byte) error {
			if len(bytes.TrimSpace(body)) > 0 && !json.Valid(body) {
				return errors.New("it is not JSON")
			}
			return nil
		},
	})
	switch {
	case err != nil:
		return err
	case answer.Status == http.StatusConflict:
		return fault.Newf(fault.RedeliveryUnderWay, "Auth0 does not redeliver the failed deliveries of event stream %s now (409%s): "+
			"some of them are under way already, by a redelivery that was asked for before. "+
			"Wait some minutes, see whether they arrive (authsync events list), and ask again; or choose others with from and to",
			s.client.Say(stream), s.said(answer))
	case !answer.OK():
		return s.unexpected(what, answer)
	default:
		return nil
	}
}

// Reenable enables an event stream; see userapi.Reenabler. It needs the permission update:event_streams. Auth0 refuses
// while 5000 or more of its deliveries are failed.
func (s *source) Reenable(ctx context.Context, stream string) error {
	const what = "enable the event stream"
	answer, err := s.doWith(ctx, writeEventStreams, userapi.Request{
		What: what, Method: http.MethodPatch, URL: s.base + streamPath(stream, ""), JSON: map[string]any{"status": streamEnabled},
	})
	if err != nil {
		return err
	}
	if !answer.OK() {
		return s.unexpected(what, answer)
	}
	return nil
}

// said returns Auth0's error message, to be appended to its status.
func (s *source) said(answer *userapi.Response) string {
	if words := s.client.Say(readProblem(answer.Body).Message); words != "" {
		return ", " + words
	}
	return ""
}

// streamPath is the path of what is below an event stream.
func streamPath(id, below string) string {
	return "/api/v2/event-streams/" + url.PathEscape(id) + below
}

// outwards widens to whole seconds, so that nothing between the bounds is left out.
func outwards(from, to time.Time) (time.Time, time.Time) {
	from = from.UTC().Truncate(time.Second)
	if whole := to.UTC().Truncate(time.Second); whole.Before(to) {
		return from, whole.Add(time.Second)
	}
	return from, to.UTC()
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
