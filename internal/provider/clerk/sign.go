package clerk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// Sign creates the request that Svix delivers for Clerk, signed with the first
// webhook_signing_secret. Sample.ID is the svix-id.
//
// The e-mail address of Clerk's user is an element of a list: the key email in Sample.Set, which
// Clerk's user object does not have, sets the primary one. A type without its own sample is sent
// with an object that has only an id.
func (p Provider) Sign(s provider.Sample, c provider.Credentials, o provider.Options, now time.Time) (http.Header, []byte, error) {
	if _, err := p.NewVerifier(c, o); err != nil {
		return nil, nil, fmt.Errorf("sign a clerk sample: %w", err)
	}
	if len(c.WebhookSigningSecret) == 0 {
		return nil, nil, fmt.Errorf("sign a clerk sample: %w", provider.ErrNoSecret)
	}
	key, err := parseSecret(c.WebhookSigningSecret[0])
	if err != nil {
		return nil, nil, fmt.Errorf("sign a clerk sample: %w", err)
	}
	at := s.Time(now)
	body, err := json.Marshal(map[string]any{
		"object":      "event",
		"type":        s.Type,
		"timestamp":   at.UnixMilli(),
		"instance_id": sampleInstance,
		"data":        sampleData(s, at),
		"event_attributes": map[string]any{
			"http_request": map[string]any{"client_ip": "192.0.2.44", "user_agent": "authsync sample"},
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("sign a clerk sample: %w", err)
	}
	id := s.ID
	if id == "" {
		id = "msg_" + provider.RandomID(27)
	}
	header, err := standardwebhooks.Sign(key, standardwebhooks.Svix, id, now, body)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a clerk sample: %w", err)
	}
	header.Set("Content-Type", "application/json")
	return header, body, nil
}

func sampleData(s provider.Sample, at time.Time) map[string]any {
	userID := s.UserID
	if userID == "" {
		userID = "user_" + provider.RandomID(27)
	}
	organizationID := s.Organization("org_", 27)
	var data map[string]any
	switch {
	case s.Object != nil:
		return s.Object
	case s.Type == userCreated:
		data = sampleUser(userID, at, at)
	case s.Type == userUpdated:
		data = sampleUser(userID, at.Add(-30*24*time.Hour), at)
	case s.Type == userDeleted:
		data = map[string]any{"object": "user", "id": userID, "deleted": true}
	case strings.HasPrefix(s.Type, "session."):
		data = sampleSession(userID, strings.TrimPrefix(s.Type, "session."), at)
	case s.Type == organizationCreated, s.Type == organizationUpdated:
		data = sampleOrganization(organizationID, at)
	case s.Type == organizationDeleted:
		data = map[string]any{"object": "organization", "id": organizationID, "slug": "lighthouse-keepers", "deleted": true}
	case strings.HasPrefix(s.Type, "organizationMembership."):
		data = sampleMembership(organizationID, userID, at)
	case strings.HasPrefix(s.Type, "organizationInvitation."):
		data = sampleInvitation(organizationID, strings.TrimPrefix(s.Type, "organizationInvitation."), at)
	default:
		data = map[string]any{"id": provider.RandomID(27)}
	}
	s.Override(data)
	setEmail(data, userID)
	return data
}

func sampleSession(userID, action string, at time.Time) map[string]any {
	status := action
	if action == "created" {
		status = "active"
	}
	return map[string]any{
		"object": "session", "id": "sess_" + provider.RandomID(27), "client_id": "client_" + provider.RandomID(27),
		"user_id": userID, "actor": nil, "status": status, "user": sampleUser(userID, at.Add(-30*24*time.Hour), at),
		"last_active_at": at.UnixMilli(), "expire_at": at.Add(7 * 24 * time.Hour).UnixMilli(),
		"created_at": at.UnixMilli(), "updated_at": at.UnixMilli(),
	}
}

func sampleOrganization(id string, at time.Time) map[string]any {
	return map[string]any{
		"object": "organization", "id": id, "name": "Lighthouse Keepers",
		"slug": "lighthouse-keepers", "image_url": "https://images.example.com/orgs/lighthouse.png", "has_image": true,
		"max_allowed_memberships": 20, "admin_delete_enabled": true, "public_metadata": map[string]any{"tier": "gold"},
		"created_at": at.UnixMilli(), "updated_at": at.UnixMilli(),
	}
}

func sampleMembership(organizationID, userID string, at time.Time) map[string]any {
	return map[string]any{
		"object": "organization_membership", "id": "orgmem_" + provider.RandomID(27), "role": "org:member", "role_name": "Member",
		"permissions": []any{"org:lamps:read", "org:lamps:light"}, "public_metadata": map[string]any{},
		"organization": sampleOrganization(organizationID, at),
		"public_user_data": map[string]any{
			"user_id": userID, "identifier": provider.SampleEmail(userID), "first_name": "Grace", "last_name": "Hopper",
			"image_url": "https://images.example.com/avatars/grace.png", "has_image": true,
		},
		"created_at": at.UnixMilli(), "updated_at": at.UnixMilli(),
	}
}

func sampleInvitation(organizationID, action string, at time.Time) map[string]any {
	status := action
	if action == "created" {
		status = "pending"
	}
	return map[string]any{
		"object": "organization_invitation", "id": "orginv_" + provider.RandomID(27), "organization_id": organizationID,
		"email_address": "invited@example.com", "role": "org:member", "role_name": "Member", "status": status,
		"public_metadata": map[string]any{}, "url": "https://accounts.example.com/accept?token=" + provider.RandomID(20),
		"expires_at": at.Add(30 * 24 * time.Hour).UnixMilli(), "created_at": at.UnixMilli(), "updated_at": at.UnixMilli(),
	}
}

// setEmail moves the key email to where Clerk stores an address.
func setEmail(user map[string]any, userID string) {
	email, given := user["email"]
	if _, hasAddresses := user["email_addresses"]; !given || !hasAddresses {
		return
	}
	delete(user, "email")
	if email == nil {
		user["primary_email_address_id"], user["email_addresses"] = nil, []any{}
		return
	}
	user["primary_email_address_id"], user["email_addresses"] = emailID(userID), sampleAddresses(userID, email)
}

func emailID(userID string) string { return "idn_" + strings.TrimPrefix(userID, "user_") }

func sampleAddresses(userID string, email any) []any {
	return []any{map[string]any{
		"id": emailID(userID), "object": "email_address", "email_address": email, "reserved": false,
		"verification": map[string]any{"status": "verified", "strategy": "email_code", "attempts": 1, "expire_at": nil},
		"linked_to":    []any{},
	}}
}

func sampleUser(userID string, createdAt, updatedAt time.Time) map[string]any {
	return map[string]any{
		"object": "user", "id": userID, "external_id": nil, "username": "grace", "first_name": "Grace", "last_name": "Hopper",
		"locale": "en-GB", "image_url": "https://images.example.com/avatars/grace.png", "has_image": true,
		"primary_email_address_id": emailID(userID), "primary_phone_number_id": nil, "primary_web3_wallet_id": nil,
		"email_addresses": sampleAddresses(userID, provider.SampleEmail(userID)),
		"phone_numbers":   []any{}, "web3_wallets": []any{}, "passkeys": []any{}, "external_accounts": []any{}, "saml_accounts": []any{},
		"public_metadata": map[string]any{"plan": "starter"}, "private_metadata": nil, "unsafe_metadata": map[string]any{"theme": "dark"},
		"password_enabled": true, "two_factor_enabled": false, "totp_enabled": false, "backup_code_enabled": false,
		"banned": false, "locked": false, "delete_self_enabled": true, "create_organization_enabled": true,
		"created_at": createdAt.UnixMilli(), "updated_at": updatedAt.UnixMilli(),
		"last_sign_in_at": updatedAt.UnixMilli(), "last_active_at": updatedAt.UnixMilli(),
	}
}
