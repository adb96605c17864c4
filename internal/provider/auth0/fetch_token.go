package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// tokens caches the Management API token, which is valid for a day.
type tokens struct {
	mu    sync.Mutex
	token string
	until time.Time
	scope []string
}

// current returns the token, however old; empty if there is none.
func (t *tokens) current() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// granted returns the permissions of the token; empty if Auth0 did not say.
func (t *tokens) granted() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.scope
}

// drop forgets a rejected token, unless it has already been replaced.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

// token returns a token that remains valid for some time; concurrent callers share one request.
func (s *source) token(ctx context.Context) (string, error) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if s.tokens.token != "" && s.client.Now().Before(s.tokens.until) {
		return s.tokens.token, nil
	}
	answer, err := s.askToken(ctx)
	if err != nil {
		return "", err
	}
	s.keepToken(answer)
	return s.tokens.token, nil
}

// keepToken caches a token; the caller holds the lock.
func (s *source) keepToken(answer tokenAnswer) {
	life := time.Duration(min(answer.ExpiresIn, 1<<30)) * time.Second
	s.tokens.scope = nil
	if answer.Scope != nil {
		s.tokens.scope = strings.Fields(*answer.Scope)
	}
	s.tokens.token, s.tokens.until = answer.AccessToken, s.client.Now().Add(life-min(life/10, 5*time.Minute))
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	// Scope lists the permissions that were granted, separated by spaces; nil: the answer does not say.
	Scope *string `json:"scope"`
}

func (s *source) askToken(ctx context.Context) (tokenAnswer, error) {
	var granted tokenAnswer
	answer, err := s.client.Do(ctx, userapi.Request{
		What: "get a token", Method: http.MethodPost, URL: s.base + "/oauth/token",
		Form: url.Values{
			"grant_type":    {"client_credentials"},
			"client_id":     {s.credentials.ClientID},
			"client_secret": {string(s.credentials.ClientSecret)},
			"audience":      {"https://" + s.credentials.Domain + "/api/v2/"},
		},
		Read: func(body []byte) error {
			if !json.Valid(body) {
				return errors.New("it is not JSON")
			}
			if json.Unmarshal(body, &granted) != nil || granted.AccessToken == "" {
				return fault.New(fault.ProviderError, "it grants no token")
			}
			return nil
		},
	})
	if fault.Is(err, fault.ProviderError) {
		return granted, s.notAuth0("")
	}
	if err != nil {
		return granted, err
	}
	if answer.OK() {
		return granted, nil
	}
	var refusal struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(answer.Body, &refusal) != nil || refusal.Error == "" {
		return granted, s.notAuth0(fmt.Sprintf(" (it answered %d)", answer.Status))
	}
	words := s.client.Say(refusal.Error + ": " + refusal.Description)
	if answer.Status == http.StatusUnauthorized {
		return granted, fault.New(fault.CredentialsRefused, "Auth0 refuses credentials.client_id or credentials.client_secret: "+
			"copy both again from the settings of the application of that domain. Auth0 says: "+words)
	}
	return granted, fault.New(fault.CredentialsRefused, "Auth0 grants the application of credentials.client_id no token for the Management API: "+
		"authorize it there with the permission read:users ("+wherePermission+"), and if credentials.domain is a custom domain, "+
		"give the tenant's own one, such as shop.eu.auth0.com. Auth0 says: "+words)
}

func (s *source) notAuth0(how string) error {
	return fault.New(fault.ProviderError, "the server of credentials.domain is not Auth0's: its /oauth/token does not answer as Auth0 does"+how+
		". Give the tenant's domain, such as shop.eu.auth0.com (Auth0 dashboard, Applications, your application, Settings)")
}
