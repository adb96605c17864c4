package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// The Management API's event streams (its definition, 2026-10).
const (
	streamDisabled = "disabled"
	streamEnabled  = "enabled"
	streamPages    = 10 // of 100 streams; a tenant may have 8
	shownStreams   = 10 // in an error
)

// eventStream is the relevant part of an event stream.
type eventStream struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Status        string `json:"status"`
	Subscriptions []struct {
		EventType string `json:"event_type"`
	} `json:"subscriptions"`
	Destination struct {
		Type          string `json:"type"`
		Configuration struct {
			Endpoint string `json:"webhook_endpoint"`
		} `json:"configuration"`
	} `json:"destination"`
}

// endpoint returns the host and path of the webhook. The rest of the URL may contain a secret.
func (e *eventStream) endpoint() string {
	address, err := url.Parse(e.Destination.Configuration.Endpoint)
	if err != nil {
		return ""
	}
	return address.Host + address.EscapedPath()
}

// goesTo reports whether the webhook goes to the project's receiver, on any host, because a proxy
// may be in front of it.
func (e *eventStream) goesTo(projectID string) bool {
	address, err := url.Parse(e.Destination.Configuration.Endpoint)
	return err == nil && strings.HasSuffix(strings.ToLower(address.Path), strings.ToLower(receiverPath(projectID)))
}

// receiverPath is the end of a project's webhook path.
func receiverPath(projectID string) string { return "/integrations/auth0/webhook/" + projectID }

// notes returns what a person should know before relying on a redelivery.
func (e *eventStream) notes(projectID string) []string {
	notes := []string{}
	if !e.goesTo(projectID) {
		notes = append(notes, "its path is not that of this project's receiver, which ends with "+receiverPath(projectID)+
			": see whether the events arrive")
	}
	if e.Status == streamDisabled {
		notes = append(notes,
			"it is disabled: Auth0 keeps no event that happens meanwhile, and no redelivery brings those",
			"to enable it: Auth0 dashboard, Event Streams, or auth0 event-streams update "+e.ID+" --status enabled "+
				"(Auth0 refuses while 5000 or more deliveries are failed: let them be redelivered first); "+
				"then redeliver once more, and run authsync reconcile")
	}
	return notes
}

// streams returns the stream with an id, otherwise those that go to the project's receiver.
func (s *source) streams(ctx context.Context, projectID, id string) ([]eventStream, error) {
	all, err := s.allStreams(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []eventStream
	for _, stream := range all {
		if id != "" && stream.ID == id || id == "" && stream.goesTo(projectID) {
			chosen = append(chosen, stream)
		}
	}
	switch {
	case len(chosen) > 0:
		return chosen, nil
	case len(all) == 0:
		return nil, fault.New(fault.StreamNotFound, "this Auth0 tenant has no event stream, so nothing can be redelivered: "+
			"create one (Auth0 dashboard, Event Streams, Create, Webhook), then run authsync reconcile. Log streams cannot redeliver")
	case id != "":
		return nil, fault.New(fault.StreamNotFound, s.client.Say("this Auth0 tenant has no event stream "+strconv.Quote(id))+". There are: "+s.shown(all))
	default:
		return nil, fault.New(fault.StreamNotFound, "no event stream of this Auth0 tenant is a webhook whose path ends with "+receiverPath(projectID)+
			". There are: "+s.shown(all)+". If a proxy brings one of them here by another path, name it: --stream est_…")
	}
}

// shown lists streams for an error.
func (s *source) shown(all []eventStream) string {
	var list []string
	for _, stream := range all[:min(len(all), shownStreams)] {
		where := stream.endpoint()
		if where == "" {
			where = "no webhook, " + stream.Destination.Type
		}
		if stream.Status == streamDisabled {
			where += ", disabled"
		}
		list = append(list, s.client.Say(stream.ID+" ("+where+")"))
	}
	if more := len(all) - len(list); more > 0 {
		list = append(list, strconv.Itoa(more)+" more")
	}
	return strings.Join(list, ", ")
}

// allStreams lists the tenant's event streams.
func (s *source) allStreams(ctx context.Context) ([]eventStream, error) {
	var all []eventStream
	seen := map[string]bool{}
	list := checkpointList{what: "list the event streams", permission: readEventStreams, path: streamsPath, key: "eventStreams", maxBody: maxStreams}
	for range streamPages {
		page, err := s.page(ctx, list)
		if err != nil {
			return nil, err
		}
		for _, entry := range page.entries {
			var stream eventStream
			if json.Unmarshal(entry, &stream) == nil && stream.ID != "" && isNew(seen, entry) {
				all = append(all, stream)
			}
		}
		if page.next == "" {
			return all, nil
		}
		list.from = page.next
	}
	return all, nil
}

// listAnswer is a page of a list that is paged with from and next.
type listAnswer struct {
	entries []json.RawMessage
	next    string // empty at the end
	bare    bool   // it was a bare array, without next
}

// page reads one page.
func (s *source) page(ctx context.Context, c checkpointList) (listAnswer, error) {
	var page listAnswer
	answer, err := s.doWith(ctx, c.permission, userapi.Request{
		What: c.what, URL: c.address(s.base), MaxBody: c.maxBody,
		Read: func(body []byte) error {
			var err error
			page, err = readListPage(body, c.key)
			return err
		},
	})
	if err != nil {
		return listAnswer{}, err
	}
	if !answer.OK() {
		return listAnswer{}, s.unexpected(c.what, answer)
	}
	return page, nil
}

// readListPage parses a page in either format: Auth0's definition and its actual responses differ.
func readListPage(body []byte, key string) (page listAnswer, err error) {
	if json.Unmarshal(body, &page.entries) == nil && page.entries != nil {
		page.bare = true
		return page, nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return page, errors.New("it is neither a list nor an object")
	}
	if json.Unmarshal(object[key], &page.entries) != nil || page.entries == nil {
		return page, errors.New("it has no list " + key)
	}
	if next, there := object["next"]; there && json.Unmarshal(next, &page.next) != nil {
		return page, errors.New("next is no text")
	}
	return page, nil
}
