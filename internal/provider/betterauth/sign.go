package betterauth

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// Sign creates the request of a customer's server, signed with the first webhook_signing_secret in
// the strongest format that the options allow. Sample.ID is the webhook-id; without Standard
// Webhooks it is a key of the body.
//
// A user.deleted carries the row of a day before the deletion. A type without its own sample is
// sent with an object that has only an id.
func (p Provider) Sign(s provider.Sample, c provider.Credentials, o provider.Options, now time.Time) (http.Header, []byte, error) {
	header, body, err := p.sign(s, c, o, now)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a better_auth sample: %w", err)
	}
	header.Set("Content-Type", "application/json")
	return header, body, nil
}

func (p Provider) sign(s provider.Sample, c provider.Credentials, o provider.Options, now time.Time) (http.Header, []byte, error) {
	if _, err := p.NewVerifier(c, o); err != nil {
		return nil, nil, err
	}
	if len(c.WebhookSigningSecret) == 0 {
		return nil, nil, provider.ErrNoSecret
	}
	secret := string(c.WebhookSigningSecret[0])
	allowed, err := formats(o)
	if err != nil {
		return nil, nil, err
	}
	format := allowed[0]
	body, err := json.Marshal(sampleBody(format, s, now))
	if err != nil {
		return nil, nil, err
	}
	switch format {
	case FormatStandardWebhooks:
		header, err := signStandard(secret, s.ID, body, now)
		return header, body, err
	case FormatPlugin:
		return http.Header{pluginHeader: {pluginPrefix + hex.EncodeToString(sum([]byte(secret), body))}}, body, nil
	default:
		return http.Header{signatureHeader: {hex.EncodeToString(sum([]byte(secret), body))}}, body, nil
	}
}

func signStandard(secret, id string, body []byte, now time.Time) (http.Header, error) {
	keys, err := standardKeys(secret)
	if err != nil {
		return nil, err
	}
	if id == "" {
		id = "msg_" + provider.RandomID(27)
	}
	return standardwebhooks.Sign(keys[0], standardwebhooks.Standard, id, now, body)
}

func sampleBody(format string, s provider.Sample, now time.Time) map[string]any {
	at := s.Time(now)
	data := sampleData(s, at)
	s.Override(data)
	switch format {
	case FormatStandardWebhooks:
		return map[string]any{"type": s.Type, "timestamp": stamp(at), "data": data}
	case FormatPlugin:
		id := s.ID
		if id == "" {
			id = "whk_" + provider.RandomID(24)
		}
		// The time of signing, which the receiver checks.
		return map[string]any{"id": id, "event": s.Type, "timestamp": stamp(now), "data": data}
	default:
		body := map[string]any{"event": s.Type, rowKey(s.Type): data}
		if s.ID != "" {
			body["id"] = s.ID
		}
		return body
	}
}

// rowKey is the key of the row where the format has no time: other clocks than that of a user's row
// are the time of receipt.
func rowKey(typ string) string {
	if strings.HasPrefix(typ, "user.") {
		return "user"
	}
	return "data"
}

func sampleData(s provider.Sample, at time.Time) map[string]any {
	userID := s.UserID
	if userID == "" {
		userID = provider.RandomID(32)
	}
	switch {
	case s.Object != nil:
		return s.Object
	case s.Type == userCreated:
		return sampleUser(userID, at, at)
	case s.Type == userUpdated:
		return sampleUser(userID, at.Add(-30*24*time.Hour), at)
	case s.Type == userDeleted:
		return sampleUser(userID, at.Add(-30*24*time.Hour), at.Add(-24*time.Hour))
	}
	organizationID := s.Organization("", 32)
	switch table, _, _ := strings.Cut(s.Type, "."); table {
	case "session":
		return map[string]any{
			"id": provider.RandomID(32), "userId": userID, "createdAt": stamp(at), "updatedAt": stamp(at),
			"expiresAt": stamp(at.Add(7 * 24 * time.Hour)), "ipAddress": "192.0.2.44", "userAgent": "authsync sample",
		}
	case "organization":
		return map[string]any{
			"id": organizationID, "name": "Lighthouse Keepers", "slug": "lighthouse-keepers",
			"logo": "https://images.example.com/orgs/lighthouse.png", "metadata": nil, "createdAt": stamp(at),
		}
	case "member", "membership":
		return map[string]any{
			"id": provider.RandomID(32), "organizationId": organizationID, "userId": userID, "role": "member", "createdAt": stamp(at),
		}
	case "invitation":
		return map[string]any{
			"id": provider.RandomID(32), "organizationId": organizationID, "email": "invited@example.com", "role": "member",
			"status": "pending", "inviterId": userID, "expiresAt": stamp(at.Add(48 * time.Hour)), "createdAt": stamp(at),
		}
	default:
		return map[string]any{"id": provider.RandomID(32)}
	}
}

func sampleUser(userID string, createdAt, updatedAt time.Time) map[string]any {
	return map[string]any{
		"id": userID, "email": provider.SampleEmail(userID), "emailVerified": true, "name": "Grace Hopper",
		"image": "https://images.example.com/avatars/grace.png", "username": "grace", "displayUsername": "Grace",
		"role": "user", "banned": false, "banReason": nil, "banExpires": nil,
		"createdAt": stamp(createdAt), "updatedAt": stamp(updatedAt),
	}
}

// stamp formats a time as JavaScript does: in UTC with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
