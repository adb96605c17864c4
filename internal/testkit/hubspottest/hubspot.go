package hubspottest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Token is the access token that a HubSpot accepts unless told otherwise.
const Token = "pat-of-the-test-portal"

// The kinds of objects.
const (
	contacts  = "contacts"
	companies = "companies"
)

// The scopes of a private app that authsync needs.
const (
	ReadScope         = "crm.objects.contacts.read"
	WriteScope        = "crm.objects.contacts.write"
	CompanyReadScope  = "crm.objects.companies.read"
	CompanyWriteScope = "crm.objects.companies.write"
)

// Config is what a HubSpot is like. The zero value is a new portal on its free plan.
type Config struct {
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Tokens are the accepted tokens with their scopes; nil: Token with all.
	Tokens map[string][]string
	// Properties are the custom properties of contacts by name, CompanyProperties those of companies.
	Properties, CompanyProperties map[string]Property
	// Limits are those of the portal.
	Limits Limits
	// SearchLag is how long search does not find what was written.
	SearchLag time.Duration
	// Delay is how long every answer takes.
	Delay time.Duration
	// Faults happen at random.
	Faults Faults
}

// Property is a property of contacts or companies.
type Property struct {
	// Unique: hasUniqueValue.
	Unique bool
	// Options are the values that it takes; nil: any.
	Options []string
}

// Call is a request that was answered.
type Call struct {
	Method, Path string
	Body         json.RawMessage
	Status       int
}

// HubSpot is a portal. It is safe for concurrent use.
type HubSpot struct {
	config Config

	mu                  sync.Mutex
	contacts, companies *store
	associations        map[Association]bool
	lastID              int
	calls               []Call
	violations          []string
	limiter             limiter
	faults              faults
}

// New makes an empty portal.
func New(c Config) *HubSpot {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tokens == nil {
		c.Tokens = map[string][]string{Token: {ReadScope, WriteScope, CompanyReadScope, CompanyWriteScope}}
	}
	h := &HubSpot{config: c, associations: map[Association]bool{}, lastID: 100, limiter: newLimiter(c.Limits), faults: newFaults(c.Faults)}
	h.contacts = newStore(h, "contact", contacts, c.Properties,
		"email", "firstname", "lastname", "phone", "company", "website", "city", "lifecyclestage", "hs_lead_status")
	h.companies = newStore(h, "company", companies, c.CompanyProperties, "name", "domain", "phone", "city", "website", "lifecyclestage")
	return h
}

// Start serves the portal until the test ends and returns its base URL.
func (h *HubSpot) Start(tb testing.TB) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL
}

// Calls are the requests so far, in the order of their answers.
func (h *HubSpot) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// Count is how many requests had a method and a path that begins so.
func (h *HubSpot) Count(method, path string) int {
	sum := 0
	for _, call := range h.Calls() {
		if call.Method == method && strings.HasPrefix(call.Path, path) {
			sum++
		}
	}
	return sum
}

// Violations are what a good client does not do: it keeps to the limits, sends
// whole numbers of rows that fit, and never two rows about the same contact.
func (h *HubSpot) Violations() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.violations)
}

// SetTokens replaces the accepted tokens, as a person does who rotates one.
func (h *HubSpot) SetTokens(tokens map[string][]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config.Tokens = tokens
}

// SetProperty makes or replaces a custom property of contacts.
func (h *HubSpot) SetProperty(name string, p Property) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contacts.properties[name] = p
}

func (h *HubSpot) violate(what string) { h.violations = append(h.violations, what) }

// answer is what a request is answered with.
type answer struct {
	status int
	header http.Header
	body   any
}

// problem is the body of an answer that says what is wrong.
type problem struct {
	Status        string              `json:"status"`
	Message       string              `json:"message"`
	CorrelationID string              `json:"correlationId"`
	Category      string              `json:"category"`
	PolicyName    string              `json:"policyName,omitempty"`
	ErrorType     string              `json:"errorType,omitempty"`
	Errors        []detail            `json:"errors,omitempty"`
	Context       map[string][]string `json:"context,omitempty"`
}

type detail struct {
	Message string              `json:"message"`
	Code    string              `json:"code,omitempty"`
	Context map[string][]string `json:"context,omitempty"`
}

func refuse(status int, category, message string) *answer {
	return &answer{status: status, body: problem{
		Status: "error", Message: message, Category: category, CorrelationID: "0b5c1d3e-1a2b-4c3d-8e4f-112233445566",
	}}
}

func notFound() *answer {
	return refuse(http.StatusNotFound, "OBJECT_NOT_FOUND", "resource not found")
}
