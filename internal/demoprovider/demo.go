package demoprovider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// How many users the stand-ins have at first: enough for several pages, and for
// Auth0 more than can be listed, so that they are exported.
const (
	clerkUsers      = 1200
	auth0Users      = 1100
	betterAuthUsers = 600
)

// StreamID is the id of the event stream of the stand-in for Auth0.
const StreamID = "est_demoDemoDemoDemoDemo00"

// Sender sends a webhook about a user, as the provider would. If it is to be lost,
// it makes the body all the same, and sends nothing.
type Sender func(ctx context.Context, providerName string, s provider.Sample, lose bool) (body []byte, err error)

// Demo is one provider of each kind at one address, with users whom a person adds,
// changes and deletes. Each change sends a webhook, unless that is to be lost.
type Demo struct {
	Clerk      *Clerk
	Auth0      *Auth0
	BetterAuth *BetterAuth
	// Send sends webhooks. Changed is called after each change, to keep the state.
	Send    Sender
	Changed func() error

	mu  sync.Mutex // one change at a time
	now func() time.Time
}

// NewDemo makes a demo with the users of a state; nil: with those of the beginning.
func NewDemo(s *State, now func() time.Time) *Demo {
	d := &Demo{
		Clerk: NewClerk(NewAccount(clerkUsers), now), Auth0: NewAuth0(NewAccount(auth0Users), now), BetterAuth: NewBetterAuth(NewAccount(betterAuthUsers), now),
		Changed: func() error { return nil }, now: now,
	}
	d.Auth0.Scope = "read:users " + Auth0OrganizationScopes + " " + Auth0StreamScopes + " " + Auth0EventScope + " " + Auth0ManageScopes
	d.Clerk.Svix.Local = true
	d.Auth0.Streams.Local, d.Auth0.Streams.Limit = true, 8
	demoOrganizations(&d.Clerk.Organizations)
	demoOrganizations(&d.Auth0.Organizations)
	d.Auth0.Polls, d.Auth0.Rate, d.Auth0.Burst = 2, 2, 10 // a free plan's, with some room
	for name, of := range s.accounts() {
		d.account(name).restore(of)
	}
	if s != nil {
		d.Clerk.Svix.restore(s.Endpoints, s.EndpointsMade)
		d.restoreFailed(s.Failed)
	}
	d.Auth0.Streams.settled, d.Clerk.Svix.settled = d.keep, d.keep
	return d
}

// ServeHTTP answers as the providers do below /clerk, /auth0 and /better-auth, and
// takes changes at /users.
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for prefix, of := range map[string]http.Handler{"/clerk": d.Clerk, "/auth0": d.Auth0, "/better-auth": d.BetterAuth} {
		if strings.HasPrefix(r.URL.Path, prefix+"/") {
			http.StripPrefix(prefix, of).ServeHTTP(w, r)
			return
		}
	}
	if r.URL.Path == "/users" {
		d.users(w, r)
		return
	}
	http.NotFound(w, r)
}

// At takes the address that the demo is served at, and returns the base URLs.
func (d *Demo) At(url string) map[string]string {
	return map[string]string{
		provider.Clerk: d.Clerk.At(url + "/clerk"), provider.Auth0: d.Auth0.At(url + "/auth0"), provider.BetterAuth: d.BetterAuth.At(url+"/better-auth") + "/api/auth",
	}
}

func (d *Demo) account(name string) *Account {
	return map[string]*Account{provider.Clerk: d.Clerk.Account, provider.Auth0: d.Auth0.Account, provider.BetterAuth: d.BetterAuth.Account}[name]
}

// named is the provider of a name; the error says for which the demo stands in.
func (d *Demo) named(text string) (string, error) {
	name, err := provider.ParseName(text)
	if err == nil && d.account(name) == nil {
		err = fmt.Errorf("the demo provider stands in for %s, not for %s", strings.Join(provider.Names(), ", "), provider.Title(name))
	}
	return name, err
}

// id is the id of a user, number the user of an id.
func (d *Demo) id(name string, i int) string {
	return map[string]func(int) string{provider.Clerk: ClerkID, provider.Auth0: Auth0ID, provider.BetterAuth: BetterAuthID}[name](i)
}

func (d *Demo) number(name, id string) (int, bool) {
	i, ok := map[string]func(string) (int, bool){
		provider.Clerk: clerkNumber, provider.Auth0: auth0Number, provider.BetterAuth: betterAuthNumber,
	}[name](id)
	return i, ok && d.account(name).has(i)
}

func (d *Demo) object(name string, i int) (object map[string]any, err error) {
	var body []byte
	switch name {
	case provider.Clerk:
		body = d.Clerk.append(nil, i)
	case provider.Auth0:
		body = d.Auth0.append(nil, i, nil)
	default:
		body = d.BetterAuth.append(nil, i)
	}
	return object, json.Unmarshal(body, &object)
}

// The changes that a person can make.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Change is what a person wants to be changed.
type Change struct {
	Action   string `json:"action"` // Add, Update or Delete
	Provider string `json:"provider"`
	// ID is the user's; empty for Add.
	ID string `json:"id"`
	Profile
	// LoseWebhook changes the user, and loses the webhook about it.
	LoseWebhook bool `json:"lose_webhook"`
}

// User is a user as it is shown.
type User struct {
	Provider string         `json:"provider"`
	ID       string         `json:"id"`
	Object   map[string]any `json:"object"`
	// Sent says whether a webhook was sent about the change.
	Sent bool `json:"sent"`
}

// errNoUser is the answer to a user who is not there.
var errNoUser = errors.New("there is no such user: authsync demo-provider users list shows the newest")

// Apply makes a change and sends the webhook about it.
func (d *Demo) Apply(ctx context.Context, c Change) (User, error) {
	name, err := d.named(c.Provider)
	if err != nil {
		return User{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.now().UTC().Truncate(time.Millisecond)
	account := d.account(name)
	s := provider.Sample{At: at}
	var i int
	switch c.Action {
	case Create:
		s.Type, i = "user.created", account.CreateAt(at)
		account.SetProfile(i, c.Profile)
	case Update, Delete:
		var known bool
		if i, known = d.number(name, c.ID); !known {
			return User{}, errNoUser
		}
		s.Type = "user.updated"
		if c.Action == Update {
			account.SetProfile(i, c.Profile)
			account.Update(i, at)
		}
	default:
		return User{}, fmt.Errorf("action is %.40q: it takes add, update or delete", c.Action)
	}
	u := User{Provider: name, ID: d.id(name, i), Sent: !c.LoseWebhook}
	if u.Object, err = d.object(name, i); err != nil {
		return User{}, err
	}
	s.UserID, s.Object = u.ID, u.Object
	if c.Action == Delete {
		account.Delete(i)
		s = deletion(name, s)
	}
	if err := d.Changed(); err != nil {
		return User{}, err
	}
	body, err := d.Send(ctx, name, s, c.LoseWebhook)
	if name == provider.Auth0 && len(body) > 0 {
		d.Auth0.Events.Publish(d.now(), body) // whoever pulls does not miss a webhook
	}
	if err == nil && c.LoseWebhook {
		err = d.lost(name, s.Type, at, body)
	}
	return u, err
}

// deletion is the sample of a deletion: Clerk says the id alone, the others send
// the user as it was.
func deletion(name string, s provider.Sample) provider.Sample {
	s.Type = "user.deleted"
	switch name {
	case provider.Clerk:
		s.Object = nil
	case provider.Auth0:
		s.Object["deleted_at"] = s.At.Format("2006-01-02T15:04:05.000Z")
	}
	return s
}

// Newest gives the newest users of a provider, and how many there are.
func (d *Demo) Newest(name string, n int) (users []User, total int, err error) {
	account := d.account(name)
	total = account.Len()
	newest := account.slice(max(total-n, 0), n)
	slices.Reverse(newest)
	for _, i := range newest {
		object, err := d.object(name, i)
		if err != nil {
			return nil, 0, err
		}
		users = append(users, User{Provider: name, ID: d.id(name, i), Object: object})
	}
	return users, total, nil
}
