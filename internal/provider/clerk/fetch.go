package clerk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Clerk's Backend API (its OpenAPI definition, 2026-05-12, and its page on limits).
const (
	backendAPI = "https://api.clerk.com"
	// apiPath is the API's base path, whether or not an address includes it.
	apiPath = "/v1"
	// apiVersion is the version of the definition implemented here. Without the header an instance
	// uses the version set in its dashboard.
	apiVersion = "2026-05-12"
	pageSize   = 500 // Clerk's maximum
	maxUser    = 4 << 20
)

// rate is Clerk's limit for an instance, which all users of a secret key share.
func rate(key provider.Secret) userapi.Rate {
	if isTestKey(key) {
		return userapi.Rate{Requests: 100, Window: 10 * time.Second}
	}
	return userapi.Rate{Requests: 1000, Window: 10 * time.Second}
}

func isTestKey(key provider.Secret) bool { return strings.HasPrefix(string(key), "sk_test_") }

// checkFetch checks the settings for reading users, as far as they are set.
func checkFetch(c provider.Credentials, o provider.Options) error {
	if key := string(c.SecretKey); key != "" && !isSecretKey(key) {
		return errors.New("credentials.secret_key is no secret key of Clerk: give the one that begins with sk_live_ or sk_test_ (Clerk dashboard, API keys)")
	}
	_, err := baseURL(o)
	return err
}

func baseURL(o provider.Options) (string, error) {
	base, err := userapi.ParseBase("options.base_url", cmp.Or(o.BaseURL, backendAPI))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(base.String(), apiPath) + apiPath, nil
}

// SendsTo returns where the secret key is sent.
func (Provider) SendsTo(_ provider.Credentials, o provider.Options) provider.Recipient {
	return provider.Recipient{
		Origin: egress.Origin(cmp.Or(o.BaseURL, backendAPI)), Field: "options.base_url", Credentials: []string{"secret_key"},
	}
}

type source struct {
	client *userapi.Client
	base   string
	key    string

	instance atomic.Pointer[string] // nil until it was read: a key stays with its instance
}

// ReconcileEvery is a day: a call for 500 users is cheap, and Clerk retries webhooks for days.
func (Provider) ReconcileEvery() string { return "24h" }

// NewSource reads the users of the instance of secret_key through the Backend API. Option base_url
// replaces its address, https://api.clerk.com.
//
// A walk is in order of creation, 500 users per page. Users who sign up during the walk come at its
// end, so it neither skips nor repeats one. If Clerk rejects or ignores the cursor, the walk
// continues by position; see place.
//
// With option provision it is also a userapi.Redeliverer and a userapi.Reenabler.
func (Provider) NewSource(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.Source, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if c.SecretKey == "" {
		return nil, fmt.Errorf("%w: credentials.secret_key is missing (Clerk dashboard, API keys)", userapi.ErrNoCredentials)
	}
	base, err := baseURL(o)
	if err != nil {
		return nil, err
	}
	read := &source{client: userapi.NewClient(provider.Title(provider.Clerk), d, rate(c.SecretKey), c.SecretKey), base: base, key: string(c.SecretKey)}
	if !o.Provision {
		return read, nil
	}
	hooks, err := newWebhooks(c, o, d)
	if err != nil {
		return nil, err
	}
	return &watched{source: read, hooks: hooks}, nil
}

func (s *source) request(what, path string, query url.Values) userapi.Request {
	address := s.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return userapi.Request{What: what, URL: address, Bearer: s.key, Header: map[string]string{"Clerk-API-Version": apiVersion}}
}

// AccountMark returns the id of the instance (GET /v1/instance of the Backend API), which webhooks name as well.
func (s *source) AccountMark(ctx context.Context) (string, error) {
	if known := s.instance.Load(); known != nil {
		return *known, nil
	}
	const what = "read the instance"
	answer, err := s.client.Do(ctx, s.request(what, "/instance", nil))
	switch {
	case err != nil:
		return "", err
	case answer.Status == http.StatusUnauthorized:
		return "", s.refused(what, answer)
	}
	var instance struct {
		ID string `json:"id"`
	}
	if !answer.OK() || json.Unmarshal(answer.Body, &instance) != nil {
		instance.ID = "" // an API without that call, such as that of a proxy
	}
	s.instance.Store(&instance.ID)
	return instance.ID, nil
}

// Count returns the number of users.
func (s *source) Count(ctx context.Context) (n int64, ok bool, err error) {
	const what = "count the users"
	var count struct {
		Total *int64 `json:"total_count"`
	}
	request := s.request(what, "/users/count", nil)
	request.Read = func(body []byte) error {
		if json.Unmarshal(body, &count) != nil || count.Total == nil {
			return errors.New("it has no total_count")
		}
		return nil
	}
	answer, err := s.client.Do(ctx, request)
	if err != nil {
		return 0, false, err
	}
	if !answer.OK() {
		return 0, false, s.refused(what, answer)
	}
	return *count.Total, true, nil
}

// User reads one user. Clerk answers 404 for a deleted user; a 404 that is not in Clerk's format
// proves nothing.
func (s *source) User(ctx context.Context, id string) (userapi.User, error) {
	return s.lookUp(ctx, record.Ref{Type: record.User, ID: id}, "/users/"+url.PathEscape(id))
}

// isGone reports whether Clerk itself says that something does not exist.
func isGone(answer *userapi.Response) bool {
	return answer.Status == http.StatusNotFound && readProblem(answer.Body).code != ""
}

const (
	keyID        = "id"
	keyCreatedAt = "created_at"
)

// problem is Clerk's error response.
type problem struct{ code, message, traceID string }

func readProblem(body []byte) problem {
	var doc struct {
		Errors []struct {
			Code        string `json:"code"`
			Message     string `json:"message"`
			LongMessage string `json:"long_message"`
		} `json:"errors"`
		TraceID string `json:"clerk_trace_id"`
	}
	if json.Unmarshal(body, &doc) != nil || len(doc.Errors) == 0 {
		return problem{}
	}
	first := doc.Errors[0]
	if first.LongMessage == "" {
		first.LongMessage = first.Message
	}
	return problem{code: first.Code, message: first.LongMessage, traceID: doc.TraceID}
}

// refused explains an error response, in Clerk's words, and what to do.
func (s *source) refused(what string, answer *userapi.Response) error {
	said := readProblem(answer.Body)
	words := s.client.Say(said.message)
	if said.traceID != "" {
		words = strings.TrimSpace(words + " (clerk_trace_id " + s.client.Say(said.traceID) + ")")
	}
	if answer.Status != http.StatusUnauthorized && answer.Status != http.StatusForbidden {
		return s.client.Unexpected(what, answer, words)
	}
	instance, other := "production", "sk_test_"
	if isTestKey(provider.Secret(s.key)) {
		instance, other = "development", "sk_live_"
	}
	detail := fmt.Sprintf("Clerk refuses credentials.secret_key (%d). It is the key of a %s instance; a key that begins with %s belongs to another instance, "+
		"with other users. Copy the secret key of the instance that sends the webhooks again (Clerk dashboard, API keys)", answer.Status, instance, other)
	if words != "" {
		detail += ". Clerk says: " + words
	}
	return fault.New(fault.CredentialsRefused, detail)
}
