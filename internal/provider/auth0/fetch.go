package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Auth0's Management API, v2 (its documentation, 2026-08-20).
const (
	apiPath      = "/api/v2" // the API's base path, whether or not an address includes it
	keyUserID    = "user_id"
	keyCreatedAt = "created_at"
	maxUser      = 4 << 20 // old tenants have profiles of up to 1 MB

	readUsers       = "read:users"
	wherePermission = "Auth0 dashboard, Applications, APIs, Auth0 Management API, Machine to Machine Applications"
)

var errDomain = errors.New("credentials.domain is no domain: give the bare host name of the tenant, such as shop.eu.auth0.com, " +
	"without https://, port or path (Auth0 dashboard, Applications, your application, Settings)")

// checkFetch checks the settings for reading users, as far as they are set.
func checkFetch(c provider.Credentials, o provider.Options) error {
	if c.Domain != "" && !isHostName(c.Domain) {
		return errDomain
	}
	if c.ClientID != "" {
		if err := provider.Secret(c.ClientID).Check("credentials.client_id"); err != nil {
			return err
		}
	}
	if c.ClientSecret != "" {
		if err := c.ClientSecret.Check("credentials.client_secret"); err != nil {
			return err
		}
	}
	if missing := missingOf(c); o.Pull && len(missing) > 0 {
		return fmt.Errorf("options.pull needs %s (of an application that may use the Management API with read:events; %s)",
			strings.Join(missing, ", "), wherePermission)
	}
	_, err := baseURL(c, o)
	return err
}

func isHostName(text string) bool {
	label := `[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?`
	host := regexp.MustCompile(`^(` + label + `\.)+` + label + `$`)
	return len(text) <= 253 && host.MatchString(text) && net.ParseIP(text) == nil
}

func baseURL(c provider.Credentials, o provider.Options) (string, error) {
	if o.BaseURL == "" {
		return "https://" + c.Domain, nil
	}
	base, err := userapi.ParseBase("options.base_url", o.BaseURL)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(base.String(), apiPath), nil
}

// SendsTo returns where the application's secret is sent.
func (Provider) SendsTo(c provider.Credentials, o provider.Options) provider.Recipient {
	r := provider.Recipient{Field: "options.base_url", Credentials: []string{"client_secret"}}
	switch {
	case o.BaseURL != "":
		r.Origin = egress.Origin(o.BaseURL)
	case c.Domain != "":
		r.Origin, r.Field = egress.Origin("https://"+c.Domain), "credentials.domain"
	}
	return r
}

type source struct {
	client      *userapi.Client
	base        string
	credentials provider.Credentials
	tokens      tokens

	mu   sync.Mutex
	open *download // of an export; nil while a page reads from it
}

// ReconcileEvery is a week: above 1000 users it takes an export and one call per user who has
// signed in since.
func (Provider) ReconcileEvery() string { return "1w" }

// NewSource reads the users of a tenant through the Management API, as the application given by
// domain, client_id and client_secret. It needs the permission read:users; for other records see
// Records. Option base_url replaces https:// and the domain.
//
// A tenant with fewer than 1000 users is listed, 50 per page, in order of creation; Auth0 lists no
// more than that. Beyond that an export job is created and downloaded; see place. The source is an
// io.Closer: it keeps the download open between pages, for at most a minute.
func (Provider) NewSource(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.Source, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if missing := missingOf(c); len(missing) > 0 {
		return nil, fmt.Errorf("%w: missing: %s (of an application that may use the Management API with read:users; %s)",
			userapi.ErrNoCredentials, strings.Join(missing, ", "), wherePermission)
	}
	base, err := baseURL(c, o)
	if err != nil {
		return nil, err
	}
	s := &source{base: base, credentials: c}
	s.client = userapi.NewClient(provider.Title(provider.Auth0), d, userapi.Rate{}, c.ClientSecret)
	return s, nil
}

// missingOf names the credentials of the application that are not set.
func missingOf(c provider.Credentials) (missing []string) {
	for _, field := range []struct{ name, value string }{
		{"credentials.domain", c.Domain}, {"credentials.client_id", c.ClientID}, {"credentials.client_secret", string(c.ClientSecret)},
	} {
		if field.value == "" {
			missing = append(missing, field.name)
		}
	}
	return missing
}

// do sends a request that reads users.
func (s *source) do(ctx context.Context, r userapi.Request) (*userapi.Response, error) {
	return s.doWith(ctx, readUsers, r)
}

// doWith sends a request to the Management API that needs a permission. It replaces a rejected
// token once.
func (s *source) doWith(ctx context.Context, permission string, r userapi.Request) (*userapi.Response, error) {
	for attempt := 1; ; attempt++ {
		token, err := s.token(ctx)
		if err != nil {
			return nil, err
		}
		r.Bearer = token
		answer, err := s.client.Do(ctx, r)
		if err != nil {
			return nil, err
		}
		if answer.Status != http.StatusUnauthorized || attempt == 2 {
			return answer, s.checkRights(r.What, permission, answer, token)
		}
		s.tokens.drop(token)
	}
}

func (s *source) checkRights(what, permission string, answer *userapi.Response, token string) error {
	words := s.client.Say(readProblem(answer.Body).Message, token)
	if words != "" {
		words = ". Auth0 says: " + words
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return fault.Newf(fault.CredentialsRefused, "Auth0 does not accept its own token for credentials.client_id (401, %s): "+
			"is credentials.domain the tenant's own domain, such as shop.eu.auth0.com?%s", what, words)
	case http.StatusForbidden:
		return &permissionError{permission: permission, what: what, words: words}
	default:
		return nil
	}
}

// permissionError says which permission the application lacks. It is a fault.CredentialsRefused.
type permissionError struct {
	permission, what string
	words            string // Auth0's own
}

func (e *permissionError) Error() string {
	return fmt.Sprintf("the Auth0 application of credentials.client_id lacks the permission %s (403, %s): grant it (%s)%s",
		e.permission, e.what, wherePermission, e.words)
}

func (e *permissionError) Unwrap() error { return fault.New(fault.CredentialsRefused, e.Error()) }

// LacksPermission implements userapi.LackError.
func (e *permissionError) LacksPermission() string { return e.permission }

func isLack(err error) bool {
	_, is := errors.AsType[*permissionError](err)
	return is
}

// problem is Auth0's error response.
type problem struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	ErrorCode  string `json:"errorCode"`
}

func readProblem(body []byte) problem {
	var p problem
	if json.Unmarshal(body, &p) != nil {
		return problem{}
	}
	return p
}

func (s *source) unexpected(what string, answer *userapi.Response) error {
	p := readProblem(answer.Body)
	return s.client.Unexpected(what, answer, s.client.Say(strings.TrimSpace(p.Message+" "+p.ErrorCode)))
}

// AccountMark returns the address of the tenant: the credentials are of an application of that tenant.
func (s *source) AccountMark(context.Context) (string, error) { return strings.ToLower(s.base), nil }

// Count returns the number of users.
func (s *source) Count(ctx context.Context) (n int64, ok bool, err error) {
	l, err := s.list(ctx, "count the users", 0, 1)
	return l.Total, err == nil, err
}

// User reads one user. Auth0 answers 404 for a deleted user; a 404 that is not in Auth0's format
// proves nothing.
func (s *source) User(ctx context.Context, id string) (userapi.User, error) {
	return s.object(ctx, objectAddress{kind: record.User, permission: readUsers, path: userPath(id), key: keyUserID, id: id})
}

func userPath(id string) string { return "/api/v2/users/" + escapeUserID(id) }

func escapeUserID(id string) string { return strings.ReplaceAll(url.PathEscape(id), "|", "%7C") }

// objectAddress is where an object is read: by which permission, and which of its keys is its id.
type objectAddress struct {
	kind                      record.Type
	permission, path, key, id string
}

// object reads the object of an id.
func (s *source) object(ctx context.Context, of objectAddress) (userapi.User, error) {
	what := "read " + of.kind.WithArticle()
	answer, err := s.doWith(ctx, of.permission, userapi.Request{What: what, URL: s.base + of.path, MaxBody: maxUser})
	if err != nil {
		return userapi.User{}, err
	}
	if isGone(answer) {
		return userapi.User{}, userapi.ErrGone
	}
	if !answer.OK() {
		return userapi.User{}, s.unexpected(what, answer)
	}
	return s.client.ReadObject(what, answer, userapi.Named{Kind: of.kind, Key: of.key, ID: of.id})
}

// isGone reports whether Auth0 itself says that something does not exist.
func isGone(answer *userapi.Response) bool {
	return answer.Status == http.StatusNotFound && readProblem(answer.Body).StatusCode == http.StatusNotFound
}

// exportFields lists all keys that an export can have. The default selection is not documented, so
// they are always requested.
func exportFields() []string {
	return strings.Fields(`user_id email email_verified username phone_number phone_verified name given_name family_name nickname
		picture identities app_metadata user_metadata created_at updated_at last_login last_ip logins_count blocked multifactor last_password_reset`)
}
