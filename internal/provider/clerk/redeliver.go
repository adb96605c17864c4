package clerk

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// watched is a source of an integration whose webhook authsync set up: it also sees the endpoint, and has what failed sent
// again. Because this goes through calls that Clerk does not document (see svix), it takes option provision.
type watched struct {
	*source

	hooks *webhooks
}

var (
	_ userapi.Redeliverer = (*watched)(nil)
	_ userapi.Reenabler   = (*watched)(nil)
)

// What Svix's API has (its OpenAPI definition and Go models, 2026-08): GET endpoint/ID/msg lists the messages of an endpoint
// by the status of their delivery; POST endpoint/ID/recover sends those that finally failed again, and
// POST endpoint/ID/replay-missing those that were never tried, as while the endpoint was disabled. Both run in the background.
const (
	svixFailed = 2 // the status of a message whose attempts have all failed
	// svixKept is how far back the two calls go; Svix takes no longer time.
	svixKept = 14 * 24 * time.Hour
	// failedPages limits counting: 5000 messages.
	failedPages, failedLimit = 20, 250
	maxTypes                 = 50
	otherTypes               = "other"
)

// receiverPath is the end of a project's webhook path.
func receiverPath(projectID string) string { return "/integrations/clerk/webhook/" + projectID }

// Redeliver implements userapi.Redeliverer for the endpoint that authsync made; those that people made are not looked at.
// Messages that are still being retried by Svix itself are not counted.
func (s *watched) Redeliver(ctx context.Context, projectID string, r userapi.RedeliverRequest) (userapi.Redelivery, error) {
	one, err := s.hooks.endpointOf(ctx, projectID)
	if err != nil {
		return userapi.Redelivery{}, err
	}
	if r.Stream != "" && r.Stream != one.ID {
		return userapi.Redelivery{}, fault.Newf(fault.StreamNotFound, "authsync made endpoint %s of this Clerk instance, and looks at no other", s.client.Say(one.ID))
	}
	// Svix takes no time that is further away; a minute is for clocks that differ.
	if earliest := s.client.Now().UTC().Add(time.Minute - svixKept); r.From.Before(earliest) {
		r.From = earliest
	}
	result := userapi.RedeliveryStream{ID: one.ID, Name: one.UID, Endpoint: one.address(), Enabled: !one.Disabled, Types: map[string]int{}, Notes: []string{}}
	if one.Disabled {
		result.Notes = append(result.Notes, "it is disabled, and Clerk sends nothing to it: enable it (Clerk dashboard, Configure, Webhooks), then redeliver")
	}
	if err := s.countFailed(ctx, &result, r); err != nil {
		return userapi.Redelivery{}, err
	}
	done := userapi.Redelivery{DryRun: r.DryRun, From: &r.From, Streams: []userapi.RedeliveryStream{result}}
	if !r.To.IsZero() {
		done.To = &r.To
	}
	if r.DryRun || one.Disabled || result.Failed == 0 && result.Complete {
		return done, nil
	}
	if err := s.hooks.again(ctx, "ask for a redelivery", one.ID, "recover", r); err != nil {
		return userapi.Redelivery{}, err
	}
	done.Streams[0].Requested = true
	return done, nil
}

// Reenable implements userapi.Reenabler. What happened while the endpoint was disabled is asked for as well: Svix has it.
func (s *watched) Reenable(ctx context.Context, id string) error {
	const what = "enable the webhook endpoint"
	answer, err := s.hooks.call(ctx, userapi.Request{
		What: what, Method: http.MethodPatch, URL: endpointPath + "/" + url.PathEscape(id), JSON: map[string]any{"disabled": false},
	})
	if err != nil {
		return err
	}
	if !answer.OK() {
		return s.hooks.unexpected(what, answer)
	}
	var now endpoint
	since := s.client.Now().UTC().Add(time.Minute - svixKept)
	if json.Unmarshal(answer.Body, &now) == nil && now.CreatedAt.After(since) {
		since = now.CreatedAt // what was before is no business of this endpoint
	}
	return s.hooks.again(ctx, "ask for what was missed", id, "replay-missing", userapi.RedeliverRequest{From: since})
}

// endpointOf finds the endpoint that authsync made for a project, wherever a proxy is in front of the receiver.
func (w *webhooks) endpointOf(ctx context.Context, projectID string) (endpoint, error) {
	want := userapi.WantedWebhook{Key: "authsync " + projectID}
	one, err := w.byUID(ctx, uidOf(want))
	switch {
	case err != nil:
		return endpoint{}, err
	case one == nil:
		return endpoint{}, fault.New(fault.StreamNotFound, "this Clerk instance has no endpoint that authsync made for this project: authsync integrations set PROJECT clerk --provision makes it")
	}
	if u, err := url.Parse(one.URL); err != nil || !strings.HasSuffix(strings.ToLower(u.Path), strings.ToLower(receiverPath(projectID))) {
		return endpoint{}, fault.Newf(fault.StreamNotFound, "endpoint %s of this Clerk instance goes elsewhere than to this project's receiver: it is left as it is", w.client.Say(one.ID))
	}
	return *one, nil
}

// address is the host and path of an endpoint. The rest of the URL may contain a secret.
func (e *endpoint) address() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return u.Host + u.EscapedPath()
}

// countFailed counts the messages that finally failed, without their content.
func (s *watched) countFailed(ctx context.Context, result *userapi.RedeliveryStream, r userapi.RedeliverRequest) error {
	const what = "list the failed messages"
	query := url.Values{
		"status": {strconv.Itoa(svixFailed)}, "limit": {strconv.Itoa(failedLimit)}, "with_content": {"false"}, "after": {r.From.UTC().Format(time.RFC3339)},
	}
	if !r.To.IsZero() {
		query.Set("before", r.To.UTC().Format(time.RFC3339))
	}
	for range failedPages {
		answer, err := s.hooks.call(ctx, userapi.Request{What: what, URL: endpointPath + "/" + url.PathEscape(result.ID) + "/msg?" + query.Encode()})
		if err != nil {
			return err
		}
		if !answer.OK() {
			return s.hooks.unexpected(what, answer)
		}
		var page struct {
			Data     []failedMessage `json:"data"`
			Iterator string          `json:"iterator"`
			Done     *bool           `json:"done"`
		}
		if json.Unmarshal(answer.Body, &page) != nil || page.Done == nil {
			return s.hooks.surprise(fault.New(fault.ProviderError, what+" of Clerk: the answer is no list"))
		}
		for i := range page.Data {
			page.Data[i].count(result, s.client)
		}
		if *page.Done || page.Iterator == "" || page.Iterator == query.Get("iterator") {
			result.Complete = true
			return nil
		}
		query.Set("iterator", page.Iterator)
	}
	return nil
}

// failedMessage is the relevant part of a message.
type failedMessage struct {
	EventType string    `json:"eventType"`
	Status    *int      `json:"status"`
	Timestamp time.Time `json:"timestamp"`
}

func (m *failedMessage) count(result *userapi.RedeliveryStream, c *userapi.Client) {
	if m.Status != nil && *m.Status != svixFailed {
		return // a server that does not know the filter
	}
	result.Failed++
	kind := c.Say(m.EventType)
	if _, known := result.Types[kind]; kind == "" || !known && len(result.Types) >= maxTypes {
		kind = otherTypes
	}
	result.Types[kind]++
	if m.Timestamp.IsZero() {
		return
	}
	at := m.Timestamp.UTC()
	if result.Oldest == nil || at.Before(*result.Oldest) {
		result.Oldest = &at
	}
	if result.Newest == nil || at.After(*result.Newest) {
		result.Newest = &at
	}
}

// again has Svix send messages again, in the background.
func (w *webhooks) again(ctx context.Context, what, id, call string, r userapi.RedeliverRequest) error {
	body := map[string]any{"since": r.From.UTC().Format(time.RFC3339)}
	if !r.To.IsZero() {
		body["until"] = r.To.UTC().Format(time.RFC3339)
	}
	answer, err := w.call(ctx, userapi.Request{
		What: what, Method: http.MethodPost, URL: endpointPath + "/" + url.PathEscape(id) + "/" + call, JSON: body,
		Read: func([]byte) error { return nil }, // it names a task, or nothing
	})
	switch {
	case err != nil:
		return err
	case answer.Status == http.StatusConflict:
		return fault.New(fault.RedeliveryUnderWay, "Clerk does not send failed messages again now: it is doing so already. Wait some minutes, and ask again")
	case !answer.OK():
		return w.unexpected(what, answer)
	default:
		return nil
	}
}
