// Package hubspot keeps the contacts of a HubSpot portal in step with the users.
//
// A contact is found by, in this order:
//
//	the record id that was remembered ─ the property id_property ─ the id at id_path ─ the e-mail address
//
// and then updated, or made if there is none. Looking is done by reads, which see what
// was written a moment ago. HubSpot's search does not, and is not used: a user who is
// told twice in a row would become two contacts.
//
// Where many users wait, they go in batches of up to 100. What a batch does not accept is
// sent alone, so that each user has a result of its own.
//
// Every request may be sent again, at any time and by any process: what was created is
// found by its key, and HubSpot refuses a second contact with the same one.
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
)

const (
	// Name is the type's name.
	Name = "hubspot"
	// TokenSecret is the name of the only secret, the access token of a private app.
	TokenSecret = "access_token"

	defaultBaseURL = "https://api.hubapi.com"
	contactsPath   = "/crm/v3/objects/contacts"

	// class is the one class of requests, which all count towards the same limits.
	class = "api"
	// batchMax is how many rows HubSpot takes in a batch.
	batchMax = 100
	// parallel is how many Sends may wait for an answer at a time. The pace is kept by the
	// limits; more would only wait for a turn.
	parallel = 4
	// tokenMin is shorter than any token that HubSpot gives.
	tokenMin = 16
)

// Type makes destinations of this type.
type Type struct {
	// AttemptTime is how long one request may take; 0: 15 s.
	AttemptTime time.Duration
}

// Name is the type's name.
func (Type) Name() string { return Name }

// SecretNames are the secrets that it takes.
func (Type) SecretNames() []string { return []string{TokenSecret} }

// SendsSecretsTo is the address of the API.
func (Type) SendsSecretsTo(raw json.RawMessage) []string {
	var o struct {
		BaseURL string `json:"base_url"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return []string{egress.Origin(cmp.Or(o.BaseURL, defaultBaseURL))}
}

// NewSecret says that HubSpot gives out the token.
func (Type) NewSecret() (name, value string, ok bool) { return "", "", false }

// New checks a configuration. The errors are *destination.InvalidError.
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

// hubspot is a portal. It holds nothing that changes.
type hubspot struct {
	*options
	token       string
	mask        destination.Mask
	client      *http.Client
	limiter     destination.Limiter
	attemptTime time.Duration
	now         func() time.Time
}

// Traits say that it takes states, in batches, at the pace of the portal. The portal is
// known by its number, else by the token: then a new token has limits of its own, for a day.
func (h *hubspot) Traits() destination.Capabilities {
	portal := string(h.PortalID)
	if portal == "" {
		portal = h.token
	}
	digest := sha256.Sum256([]byte(Name + "\x00" + h.BaseURL + "\x00" + portal))
	return destination.Capabilities{
		NoTest: "a test event would leave a contact in HubSpot: use preview to see what a change would send, and a HubSpot test account for the rest",
		States: true, Batch: batchMax, Parallel: parallel,
		Account: hex.EncodeToString(digest[:16]),
		Limits: map[string]destination.Limit{class: {
			Requests: h.PerTenSeconds, Per: 10 * time.Second, Daily: h.PerDay, Zone: h.TimeZone,
		}},
	}
}

// Send brings contacts in step with users.
func (h *hubspot) Send(ctx context.Context, messages []destination.Message) []destination.Result {
	s := &sending{hubspot: h}
	for _, m := range messages {
		s.rows = append(s.rows, h.row(ctx, m))
	}
	s.run(ctx)
	out := make([]destination.Result, len(s.rows))
	for i, r := range s.rows {
		out[i] = *r.result
	}
	return out
}
