// Package workos is WorkOS (User Management, AuthKit): webhooks as the preset of package custom describes them, and users,
// organizations and memberships read by WorkOS' API. Shapes and addresses are those of WorkOS' own client
// (github.com/workos/workos-go) and of its reference (Pagination, Rate limits).
package workos

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Name is the provider's name in the database, and that of the preset.
const Name = "workos"

const api = "https://api.workos.com"

// Provider is WorkOS. Each integration has one of its own, as package custom says.
type Provider struct{ *custom.Provider }

// New returns the provider.
func New() Provider { return Provider{custom.New(Name)} }

// NewVerifier takes webhook_signing_secret, and secret_key and option base_url for reading.
func (p Provider) NewVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	return verifierOf(c, o, p.Provider.NewVerifier)
}

// StoredVerifier implements provider.Stored.
func (p Provider) StoredVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	return verifierOf(c, o, p.Provider.StoredVerifier)
}

// Sign implements provider.Provider.
func (p Provider) Sign(s provider.Sample, c provider.Credentials, o provider.Options, at time.Time) (http.Header, []byte, error) {
	o.BaseURL = ""
	return p.Provider.Sign(s, c, o, at)
}

// verifierOf checks what is for reading. The preset refuses base_url, as those that cannot be read do.
func verifierOf(
	c provider.Credentials, o provider.Options, of func(provider.Credentials, provider.Options) (provider.Verifier, error),
) (provider.Verifier, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	o.BaseURL = ""
	return of(c, o)
}

func checkFetch(c provider.Credentials, o provider.Options) error {
	if key := string(c.SecretKey); key != "" && !strings.HasPrefix(key, "sk_") {
		return errors.New("credentials.secret_key is no API key of WorkOS: give the one that begins with sk_ (WorkOS dashboard, API Keys)")
	}
	_, err := baseURL(o)
	return err
}

func baseURL(o provider.Options) (string, error) {
	base, err := userapi.ParseBase("options.base_url", cmp.Or(o.BaseURL, api))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(base.String(), "/"), nil
}

// SendsTo returns where the API key is sent.
func (Provider) SendsTo(_ provider.Credentials, o provider.Options) provider.Recipient {
	return provider.Recipient{Origin: egress.Origin(cmp.Or(o.BaseURL, api)), Field: "options.base_url", Credentials: []string{"secret_key"}}
}

// ReconcileEvery is a day: WorkOS retries webhooks for three days, and a call reads 100 users.
func (Provider) ReconcileEvery() string { return "24h" }

// NewSource reads the users of the environment of secret_key. Option base_url replaces the address of the API.
func (Provider) NewSource(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.Source, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if c.SecretKey == "" {
		return nil, fmt.Errorf("%w: credentials.secret_key is missing (WorkOS dashboard, API Keys)", userapi.ErrNoCredentials)
	}
	base, err := baseURL(o)
	if err != nil {
		return nil, err
	}
	// WorkOS' default for an environment, which its own clients share.
	rate := userapi.Rate{Requests: 600, Window: time.Minute}
	return &source{client: userapi.NewClient("WorkOS", d, rate, c.SecretKey), base: base, key: string(c.SecretKey)}, nil
}

type source struct {
	client *userapi.Client
	base   string
	key    string
}

func (s *source) request(what, path string, query url.Values) userapi.Request {
	address := s.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return userapi.Request{What: what, URL: address, Bearer: s.key}
}

// The mappings of the preset, for objects that are read. A test holds them equal.

func users() payload.Mapping {
	return payload.Mapping{Type: record.User, Keys: []payload.Key{
		{Field: payload.ID, Path: keyID},
		{Field: payload.Email, Path: "email"},
		{Field: payload.FirstName, Path: "first_name"},
		{Field: payload.LastName, Path: "last_name"},
		{Field: payload.FullName, Path: "name"},
		{Field: payload.ImageURL, Path: "profile_picture_url"},
		{Field: payload.CreatedAt, Path: keyCreatedAt},
		{Field: payload.UpdatedAt, Path: "updated_at"},
		{Field: payload.LastSignInAt, Path: "last_sign_in_at"},
	}}
}

func organizations() payload.Mapping {
	return payload.Mapping{Type: record.Organization, Keys: []payload.Key{
		{Field: payload.ID, Path: keyID},
		{Field: payload.Name, Path: "name"},
		{Field: payload.CreatedAt, Path: keyCreatedAt},
		{Field: payload.UpdatedAt, Path: "updated_at"},
	}}
}

// memberships has no roles: they are in a list of objects; see rolesOf. One that is not active ended when it was updated last.
func memberships() payload.Mapping {
	return payload.Mapping{Type: record.Membership, Keys: []payload.Key{
		{Field: payload.ID, Path: keyID},
		{Field: payload.OrganizationID, Path: "organization_id"},
		{Field: payload.UserID, Path: "user_id"},
		{Field: payload.Role, Path: "role.slug"},
		{Field: payload.CreatedAt, Path: keyCreatedAt},
		{Field: payload.UpdatedAt, Path: "updated_at"},
		{Field: payload.DeletedAt, Path: "updated_at"},
	}}
}

// DecodeUser translates a user, which is the same as the data of a webhook.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Mapping: users()}, nil)
}

// DecodeRecord translates an organization or a membership, which are the same as the data of webhooks.
func (Provider) DecodeRecord(t record.Type, object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	if t != record.Membership {
		lists := payload.Lists{Organizations: organizations}
		return lists.Import(t, object, i, o)
	}
	change := payload.Change{Mapping: memberships(), Deletes: !isActive(payload.Value(object))}
	return payload.Import(object, i, o, change, func(c *payload.Change, _ bool) { setRoles(c) })
}

// isActive reports whether a membership counts: an invited or a deactivated user is no member.
func isActive(membership payload.Value) bool {
	doc, err := payload.Parse(membership)
	if err != nil || !doc.IsObject() {
		return true // it fails for another reason
	}
	status := doc.Member("status")
	return status.IsAbsent() || status.IsNull() || status.Is("active")
}

// Comparison describes how to compare: webhooks and the API have the same objects. A sign-in changes its time without an
// event about the user.
func (Provider) Comparison(t record.Type) provider.Comparison {
	switch t {
	case record.User:
		return provider.Comparison{
			Complete: strings.Fields(`id email email_verified first_name last_name profile_picture_url external_id metadata locale created_at updated_at`),
			Quiet:    strings.Fields(`last_sign_in_at`),
		}
	case record.Organization:
		return provider.Comparison{Complete: strings.Fields(`id name created_at updated_at`)}
	case record.Membership:
		return provider.Comparison{Complete: strings.Fields(`id user_id organization_id role status created_at updated_at`)}
	case record.Invitation, record.Session:
	}
	return provider.Comparison{}
}

// setRoles sets the roles of a membership: those of its list, otherwise its one role.
func setRoles(c *payload.Change) {
	var slugs []string
	add := func(role payload.Value) {
		if role.IsObject() && role.Member("slug").IsText() {
			slug, _ := role.Member("slug").Text()
			slugs = append(slugs, slug)
		}
	}
	if list := c.Object.Member("roles"); list.IsArray() {
		for role := range list.Elements() {
			add(role)
		}
	} else {
		add(c.Object.Member("role"))
	}
	if slugs == nil {
		return
	}
	text, _ := json.Marshal(slugs) //nolint:errchkjson // texts
	c.Values[payload.Roles] = payload.Value(text)
	c.Keys = append(c.Keys, payload.Key{Field: payload.Roles, Path: "roles"})
}
