// Package hubspot keeps the contacts of a HubSpot portal in sync with the users, and if asked to, its companies with the
// organizations and their association with the memberships.
//
// A contact is found by, in this order:
//
//	the stored record id ─ the property id_property ─ the id at id_path ─ the e-mail address
//
// and then updated, or created if there is none. So is a company, though not by an address. Lookups use reads, which see the latest writes. HubSpot's
// search lags behind and is not used: two quick deliveries of a user would create two contacts.
//
// A membership associates the user's contact with the organization's company. Organizations have an order of their own, so
// a membership may come before its company; it then makes the company from the organization's current row. A contact it never
// makes: a user's deliveries and those of its memberships have one order, in which the user may come later. So a contact that is new,
// or newly found, is associated with the companies of all organizations of the user; see link.
//
// Pending users are sent in batches of up to 100. Rows that a batch rejects are sent alone, so that each
// user gets a result of its own.
//
// Every request may be repeated, at any time and by any process: a created contact is found by its key,
// and HubSpot rejects a second contact with the same one.
package hubspot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/record"
)

const (
	// Name is the type's name.
	Name = "hubspot"
	// TokenSecret is the name of the only secret, the access token of a private app.
	TokenSecret = "access_token"

	defaultBaseURL = "https://api.hubapi.com"

	// class is the only rate limit class: all requests share the same limits.
	class = "api"
	// batchMax is HubSpot's maximum batch size.
	batchMax = 100
	// parallel is the maximum number of concurrent Sends. The rate limits set the pace; more would only wait.
	parallel = 4
	// tokenMin is shorter than any HubSpot token.
	tokenMin = 16
)

// Type builds HubSpot destinations.
type Type struct {
	// AttemptTime limits one request; 0 means 15 s.
	AttemptTime time.Duration
}

// Name implements destination.Type.
func (Type) Name() string { return Name }

// SecretNames returns the only secret.
func (Type) SecretNames() []string { return []string{TokenSecret} }

// SendsSecretsTo returns the address of the API.
func (Type) SendsSecretsTo(raw json.RawMessage) []string {
	var o struct {
		BaseURL string `json:"base_url"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return []string{egress.Origin(cmp.Or(o.BaseURL, defaultBaseURL))}
}

// NewSecret generates none: HubSpot issues the token.
func (Type) NewSecret() (name, value string, ok bool) { return "", "", false }

// New validates a configuration. Its errors are fault.Invalid.
func (k Type) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	o, err := readOptions(c.Options, d.CheckURL)
	if err != nil {
		return nil, err
	}
	token := c.Secrets.Values[TokenSecret]
	if err := checkToken(token); err != nil {
		return nil, err
	}
	h := &hubspot{
		options: o, token: token, mask: destination.NewMask(token), limiter: d.Limiter, now: d.Now,
		attemptTime: cmp.Or(k.AttemptTime, httpsend.AttemptTime), client: httpsend.Client(d),
	}
	if h.now == nil {
		h.now = time.Now
	}
	return h, nil
}

func checkToken(token string) error {
	switch {
	case token == "":
		return invalidToken("HubSpot needs the secret %s: the access token of a private app (Settings → Integrations → Private Apps)", TokenSecret)
	case len(token) < tokenMin || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalidToken("the secret %s is no access token: HubSpot's are longer, begin with pat- and have no spaces; copy it whole", TokenSecret)
	}
	return nil
}

// hubspot is a portal. It is immutable.
type hubspot struct {
	*options
	token       string
	mask        destination.Mask
	client      *http.Client
	limiter     destination.Limiter
	attemptTime time.Duration
	now         func() time.Time
}

// Capabilities implements destination.Destination: states, in batches, within the portal's limits. The account is
// the portal number, or the token if that is not given; then a new token starts with fresh limits for a day.
func (h *hubspot) Capabilities() destination.Capabilities {
	portal := string(h.PortalID)
	if portal == "" {
		portal = h.token
	}
	digest := sha256.Sum256([]byte(Name + "\x00" + h.BaseURL + "\x00" + portal))
	types := []record.Type{record.User}
	if h.companies != nil {
		types = append(types, record.Organization, record.Membership)
	}
	return destination.Capabilities{
		NoTest:      "a test event would leave a contact in HubSpot: use preview to see what a change would send, and a HubSpot test account for the rest",
		RecordTypes: types, Organizations: h.companies != nil, States: true, Batch: batchMax, Parallel: parallel,
		Account: hex.EncodeToString(digest[:16]),
		Limits: map[string]destination.Limit{class: {
			Requests: h.PerTenSeconds, Per: 10 * time.Second, Daily: h.PerDay, Zone: h.TimeZone,
		}},
	}
}

// Send syncs contacts with users, companies with organizations, and associations with memberships.
func (h *hubspot) Send(ctx context.Context, messages []destination.Message) []destination.Result {
	s := &sending{hubspot: h}
	for _, m := range messages {
		s.rows = append(s.rows, h.row(ctx, m))
	}
	s.run(ctx)
	out := make([]destination.Result, len(s.rows))
	for i, r := range s.rows {
		out[i] = *r.result
		out[i].Exchanges, out[i].Omitted = r.exchanges, r.omitted
	}
	return out
}
