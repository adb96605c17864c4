package betterauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// The admin API of better-auth 1.7.7, as observed.
const (
	keyID        = "id"
	keyCreatedAt = "createdAt"
	maxUser      = 4 << 20
	defaultPath  = "/api/auth" // a server's base path unless its address has a path
	clientName   = "the Better Auth server"
)

// defaultRate is a server's default limit per client and path; customers may change it.
func defaultRate() userapi.Rate { return userapi.Rate{Requests: 100, Window: 10 * time.Second} }

// checkFetch checks the settings for reading users, as far as they are set.
func checkFetch(c provider.Credentials, o provider.Options) error {
	if c.SessionToken != "" {
		if err := c.SessionToken.Check("credentials.session_token"); err != nil {
			return err
		}
	}
	if o.Source != nil {
		if err := checkTables(*o.Source); err != nil {
			return err
		}
	}
	if o.BaseURL == "" {
		return nil
	}
	_, err := userapi.ParseBase("options.base_url", o.BaseURL)
	return err
}

// checkTables refuses names that PostgreSQL would truncate or cannot store.
func checkTables(t provider.UserTables) error {
	if provider.IsSystemSchema(t.Schema) {
		return errors.New(provider.SystemSchemaAdvice)
	}
	names := map[string]string{"schema": t.Schema, "user_table": t.UserTable, "session_table": t.SessionTable}
	for field, column := range t.Columns {
		names["columns."+field] = column
	}
	for field, column := range t.SessionColumns {
		if field != "userId" && field != keyCreatedAt {
			return fmt.Errorf("options.source.session_columns holds %.40q: it takes userId and createdAt", field)
		}
		names["session_columns."+field] = column
	}
	for field, name := range names {
		if len(name) > 63 || strings.ContainsRune(name, 0) {
			return fmt.Errorf("options.source.%.60s is no name in PostgreSQL: it has at most 63 bytes", field)
		}
	}
	return nil
}

// SendsTo returns where the session's token is sent. A database URL contains its own password.
func (Provider) SendsTo(_ provider.Credentials, o provider.Options) provider.Recipient {
	r := provider.Recipient{Field: "options.base_url", Credentials: []string{"session_token"}}
	if o.BaseURL != "" {
		r.Origin = egress.Origin(o.BaseURL)
	}
	return r
}

type source struct {
	client *userapi.Client
	base   string
	token  string
}

// ReconcileEvery is six hours: Better Auth retries nothing, so events lost in an outage stay lost
// until then.
func (Provider) ReconcileEvery() string { return "6h" }

// NewSource reads the users of a Better Auth server: with option source from its tables (see
// Deps.SQL), otherwise through its admin API at option base_url with the credential session_token.
//
// The admin API pages by position. The walk is in order of id, the only order without ties (an
// import may create many users at one instant), and at its end asks for the users created in the
// meantime.
func (Provider) NewSource(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.Source, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if o.Source != nil {
		if d.SQL == nil {
			return nil, errors.New("options.source names tables, which cannot be read from here")
		}
		return d.SQL(c.DatabaseURL, *o.Source)
	}
	var missing []string
	if o.BaseURL == "" {
		missing = append(missing, "options.base_url")
	}
	if c.SessionToken == "" {
		missing = append(missing, "credentials.session_token")
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: missing: %s (or options.source, to read your tables)", userapi.ErrNoCredentials, strings.Join(missing, ", "))
	}
	base, err := userapi.ParseBase("options.base_url", o.BaseURL)
	if err != nil {
		return nil, err
	}
	if base.Path == "" {
		base.Path = defaultPath
	}
	return &source{
		client: userapi.NewClient(clientName, d, defaultRate(), c.SessionToken), base: base.String(), token: string(c.SessionToken),
	}, nil
}

func (s *source) request(what, path string, query url.Values) userapi.Request {
	return userapi.Request{What: what, URL: s.base + path + "?" + query.Encode(), Bearer: s.token}
}

// AccountMark returns the address of the server, which does not say what database is behind it.
func (s *source) AccountMark(context.Context) (string, error) { return s.base, nil }

// Count returns the number of users.
func (s *source) Count(ctx context.Context) (n int64, ok bool, err error) {
	l, err := s.list(ctx, "count the users", byID, 0, 1)
	return l.Total, err == nil, err
}

// User reads one user. Only a 404 with USER_NOT_FOUND proves that there is none.
func (s *source) User(ctx context.Context, id string) (userapi.User, error) {
	const what = "read a user"
	request := s.request(what, "/admin/get-user", url.Values{"id": {id}})
	request.MaxBody = maxUser
	answer, err := s.client.Do(ctx, request)
	if err != nil {
		return userapi.User{}, err
	}
	if answer.Status == http.StatusNotFound && readProblem(answer.Body).Code == "USER_NOT_FOUND" {
		return userapi.User{}, userapi.ErrGone
	}
	if !answer.OK() {
		return userapi.User{}, s.refused(what, answer)
	}
	return s.client.ReadObject(what, answer, userapi.Named{Kind: record.User, Key: keyID, ID: id})
}

// problem is the server's error response.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func readProblem(body []byte) problem {
	var p problem
	if json.Unmarshal(body, &p) != nil {
		return problem{}
	}
	return p
}

// refused explains an error response and what to do.
func (s *source) refused(what string, answer *userapi.Response) error {
	p := readProblem(answer.Body)
	words := s.client.Say(strings.TrimSpace(p.Code + " " + p.Message))
	detail := ""
	switch answer.Status {
	case http.StatusUnauthorized:
		detail = "the Better Auth server knows no session for credentials.session_token (401): sessions end, by default after 7 days. " +
			"Sign in again as a user who may list users, and store the new token; the server needs the plugin bearer"
	case http.StatusForbidden:
		detail = "the user of credentials.session_token may not list and read users (403): give that user the role admin, or another with the permissions user:list and user:get"
	case http.StatusNotFound:
		return s.client.Unexpected(what, answer, "is options.base_url the address of your Better Auth server, and does it have the plugin admin?")
	default:
		return s.client.Unexpected(what, answer, words)
	}
	if words != "" {
		detail += ". The server says: " + words
	}
	return fault.New(fault.CredentialsRefused, detail)
}
