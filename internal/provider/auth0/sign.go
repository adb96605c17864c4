package auth0

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// Sign creates the request of an event stream. It authenticates with the first
// webhook_signing_secret as a bearer token, otherwise by webhook_authorization.
//
// A user.deleted repeats the profile of a day before the deletion, as Auth0 does since catalog
// 0.5.2. A type without its own sample is sent with an object that has only an id. The type
// "log.sdu", or another code after "log.", creates an entry of a log stream in format JSON lines,
// in which Set overrides the keys of data.
func (p Provider) Sign(s provider.Sample, c provider.Credentials, o provider.Options, now time.Time) (http.Header, []byte, error) {
	if _, err := p.NewVerifier(c, o); err != nil {
		return nil, nil, fmt.Errorf("sign an auth0 sample: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	switch a := c.WebhookAuthorization; {
	case len(c.WebhookSigningSecret) > 0:
		header.Set(authorizationHeader, bearerValue(strings.TrimSpace(string(c.WebhookSigningSecret[0]))))
	case a == nil:
		return nil, nil, fmt.Errorf("sign an auth0 sample: %w", provider.ErrNoSecret)
	case a.Method == methodBearer:
		header.Set(authorizationHeader, bearerValue(strings.TrimSpace(string(a.Token))))
	case a.Method == methodBasic:
		header.Set(authorizationHeader, basicValue(a))
	default:
		header.Set(a.HeaderKey, strings.TrimSpace(string(a.HeaderValue)))
	}
	sample := sampleBody
	if strings.HasPrefix(s.Type, sampleLogPrefix) {
		sample = sampleEntry
	}
	body, err := json.Marshal(sample(s, now))
	if err != nil {
		return nil, nil, fmt.Errorf("sign an auth0 sample: %w", err)
	}
	return header, body, nil
}

// bearerValue adds the scheme unless the secret is already a complete header value.
func bearerValue(secret string) string {
	if scheme, _ := splitScheme(secret); scheme != "" {
		return secret
	}
	return "Bearer " + secret
}

func sampleBody(s provider.Sample, now time.Time) map[string]any {
	at := s.Time(now)
	id := s.ID
	if id == "" {
		id = "evt_" + provider.RandomID(22)
	}
	object := sampleObject(s, at)
	s.Override(object)
	return map[string]any{
		"specversion": "1.0",
		"type":        s.Type,
		"source":      "urn:auth0:authsync-sample.eu.auth0.com",
		"id":          id,
		"time":        stamp(at),
		"data": map[string]any{
			"object": object,
			"context": map[string]any{
				"tenant":  map[string]any{"id": "authsync-sample"},
				"request": map[string]any{"method": "POST", "ip": "192.0.2.44", "user_agent": "authsync sample"},
			},
		},
		"a0tenant": sampleTenant,
		"a0stream": "est_" + provider.RandomID(22),
	}
}

// sampleLogPrefix precedes the code of an entry's type.
const sampleLogPrefix = "log."

// sampleEntry creates a log stream entry. A sapi is an update of the user.
func sampleEntry(s provider.Sample, now time.Time) map[string]any {
	userID, id := s.UserID, s.ID
	if userID == "" {
		userID = "auth0|" + provider.RandomHex(24)
	}
	if id == "" {
		id = "900" + s.Time(now).UTC().Format("20060102150405") + provider.RandomHex(24)
	}
	data := map[string]any{
		entryDate: stamp(s.Time(now)), entryType: strings.TrimPrefix(s.Type, sampleLogPrefix), entryUserID: userID,
		"connection": "Username-Password-Authentication", "client_name": "authsync sample", "ip": "192.0.2.44",
		entryDetails: map[string]any{},
	}
	if data[entryType] == "sapi" {
		data["description"], data[entryUserID] = "Update a User", "auth0|"+provider.RandomHex(24)
		data[entryDetails] = map[string]any{
			"request":  map[string]any{"method": "patch", "path": "/api/v2/users/" + url.PathEscape(userID)},
			"response": map[string]any{"statusCode": 200, "body": map[string]any{entryUserID: userID}},
		}
	}
	s.Override(data)
	return map[string]any{"log_id": id, "data": data}
}

func sampleObject(s provider.Sample, at time.Time) map[string]any {
	if s.Object != nil {
		return s.Object
	}
	userID := s.UserID
	if userID == "" {
		userID = "auth0|" + provider.RandomHex(24)
	}
	organizationID := s.Organization("org_", 16)
	switch s.Type {
	case userCreated:
		return sampleUser(userID, at, at)
	case userUpdated:
		return sampleUser(userID, at.Add(-30*24*time.Hour), at)
	case userDeleted:
		user := sampleUser(userID, at.Add(-30*24*time.Hour), at.Add(-24*time.Hour))
		user["deleted_at"] = stamp(at)
		return user
	case organizationCreated, organizationUpdated, organizationDeleted:
		organization := map[string]any{
			"id": organizationID, "name": "lighthouse", "display_name": "Lighthouse Keepers", "metadata": map[string]any{"tier": "gold"},
		}
		if s.Type != organizationDeleted {
			organization["branding"] = map[string]any{
				"logo_url": "https://images.example.com/orgs/lighthouse.png",
				"colors":   map[string]any{"primary": "#2b5d8a", "page_background": "#ffffff"},
			}
		}
		return organization
	case memberAdded, memberDeleted, roleAssigned, roleDeleted:
		member := map[string]any{
			"organization": map[string]any{"id": organizationID, "name": "lighthouse"},
			"user":         map[string]any{"user_id": userID},
		}
		if s.Type == roleAssigned || s.Type == roleDeleted {
			member["role"] = map[string]any{"id": "rol_" + provider.RandomID(16), "name": "keeper"}
		}
		return member
	default:
		return map[string]any{"id": provider.RandomID(16)}
	}
}

func sampleUser(userID string, createdAt, updatedAt time.Time) map[string]any {
	email := provider.SampleEmail(userID)
	_, identity, _ := strings.Cut(userID, "|")
	return map[string]any{
		"user_id":        userID,
		"email":          email,
		"email_verified": true,
		"name":           "Grace Hopper",
		"given_name":     "Grace",
		"family_name":    "Hopper",
		"nickname":       "grace",
		"picture":        "https://images.example.com/avatars/grace.png",
		"created_at":     stamp(createdAt),
		"updated_at":     stamp(updatedAt),
		"last_login":     stamp(updatedAt),
		"last_ip":        "192.0.2.44",
		"logins_count":   3,
		"identities": []any{map[string]any{
			"connection": "Username-Password-Authentication",
			"provider":   "auth0",
			"user_id":    identity,
			"isSocial":   false,
		}},
		"app_metadata":  map[string]any{"plan": "starter"},
		"user_metadata": map[string]any{"theme": "dark"},
	}
}

// stamp formats a time as Auth0 does: in UTC with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
