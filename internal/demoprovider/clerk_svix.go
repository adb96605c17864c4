package demoprovider

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Svix is the Svix application of a Clerk instance, with its portal and its part of Svix's API. Set its fields
// before it is used.
type Svix struct {
	// HasApp says that the instance has an application already.
	HasApp bool
	// Region is the one of the application; empty: eu.
	Region string
	// Link replaces the link to the portal.
	Link string
	// To is where messages are posted, in place of the scheme and host of their endpoint's URL.
	To string
	// Local allows URLs on this machine without https, for a demo on one machine.
	Local bool

	mu        sync.Mutex
	endpoints []SvixEndpoint
	oneTime   map[string]bool // tokens, and whether they were used
	sessions  map[string]bool // tokens, and whether they are good
	made      int
	statuses  map[string]int // of the answers to messages
	messages  []*SvixMessage
	now       func() time.Time
	posts     sync.WaitGroup
	settled   func() // is called when a message was sent again or an endpoint changed; nil: nothing is
}

// SvixEndpoint is an endpoint of an application.
type SvixEndpoint struct {
	ID       string   `json:"id"`
	UID      string   `json:"uid"`
	URL      string   `json:"url"`
	Secret   string   `json:"secret"`
	Disabled bool     `json:"disabled"`
	Types    []string `json:"types"`
}

// svixApp is the id of the application.
const svixApp = "app_2demoDemoDemoDemo"

// All is a copy of the endpoints there are.
func (s *Svix) All() []SvixEndpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints)
}

// Add adds an endpoint, as a person does in the dashboard.
func (s *Svix) Add(one SvixEndpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = append(s.endpoints, one)
}

// Change changes the endpoint of an id, as a person does in the dashboard.
func (s *Svix) Change(id string, change func(*SvixEndpoint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.endpoints {
		if s.endpoints[i].ID == id {
			change(&s.endpoints[i])
		}
	}
}

// Expire lets all tokens be refused.
func (s *Svix) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// Posted waits until all that was to be posted is.
func (s *Svix) Posted() { s.posts.Wait() }

func (s *Svix) region() string {
	if s.Region == "" {
		return "eu"
	}
	return s.Region
}

// webhooks answers Clerk's own two calls.
func (c *Clerk) webhooks(w http.ResponseWriter, path string) {
	s := &c.Svix
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case path == "svix" && s.HasApp:
		clerkError(w, http.StatusBadRequest, "svix_app_exists", "Only one Svix app is allowed per instance.")
		return
	case path == "svix_url" && !s.HasApp:
		clerkError(w, http.StatusBadRequest, "svix_app_missing", "There is no Svix app for this instance.")
		return
	case path != "svix" && path != "svix_url":
		clerkError(w, http.StatusNotFound, "not_found", "There is no such address.")
		return
	}
	s.HasApp = true
	if s.oneTime == nil {
		s.oneTime, s.sessions, s.statuses = map[string]bool{}, map[string]bool{}, map[string]int{}
	}
	token := "ott_" + rand.Text()
	s.oneTime[token] = false
	key, err := json.Marshal(map[string]string{"appId": svixApp, "oneTimeToken": token, "region": s.region()})
	if err != nil {
		panic(err)
	}
	link := setting(&c.Server, &s.Link)
	if link == "" {
		link = c.url + "/login#key=" + base64.RawURLEncoding.EncodeToString(key)
	}
	writeDocument(w, http.StatusOK, map[string]string{"svix_url": link})
}

func svixError(w http.ResponseWriter, status int, code, detail string) {
	writeDocument(w, status, map[string]string{"code": code, "detail": detail})
}

// portal answers what is below /api: the exchange of a token, and the application's part of the API.
func (s *Svix) portal(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.URL.Path == "/api/"+s.region()+"/api/v1/auth/one-time-token" && r.Method == http.MethodPost {
		s.exchange(w, r)
		return
	}
	if s.settled != nil && r.Method != http.MethodGet {
		defer s.settled() // once the lock is released
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ours := strings.CutPrefix(r.URL.Path, "/api/v1/app/"+svixApp+"/")
	parts := strings.Split(path, "/")
	switch {
	case !s.sessions[token]:
		svixError(w, http.StatusUnauthorized, "authentication_failed", "Invalid token "+token)
	case !ours:
		svixError(w, http.StatusNotFound, "not_found", "Entity not found")
	case parts[0] == "endpoint" && len(parts) == 1:
		s.all(w, r)
	case parts[0] == "endpoint":
		s.one(w, r, parts[1], strings.Join(parts[2:], "/"))
	case strings.HasPrefix(path, "attempt/msg/"):
		data := []any{}
		if status, known := s.statuses[parts[2]]; known {
			data = append(data, map[string]any{"responseStatusCode": status})
		}
		writeDocument(w, http.StatusOK, map[string]any{"data": data, "done": true, "iterator": nil})
	default:
		svixError(w, http.StatusNotFound, "not_found", "Entity not found")
	}
}

// exchange takes a token that was not used yet.
func (s *Svix) exchange(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"oneTimeToken"` //nolint:tagliatelle // as Svix spells it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	used, known := false, false
	if json.NewDecoder(r.Body).Decode(&in) == nil {
		used, known = s.oneTime[in.Token]
	}
	if !known || used {
		svixError(w, http.StatusUnauthorized, "invalid_token", "The token "+in.Token+" was used or has expired")
		return
	}
	s.oneTime[in.Token] = true
	token := "appsk_" + rand.Text()
	s.sessions[token] = true
	writeDocument(w, http.StatusOK, map[string]string{"token": token})
}

func (e *SvixEndpoint) document() map[string]any {
	var types any
	if e.Types != nil {
		types = e.Types
	}
	return map[string]any{
		"id": e.ID, "uid": e.UID, "url": e.URL, "disabled": e.Disabled, "filterTypes": types, "description": "", "version": 1,
		"createdAt": "2026-05-01T00:00:00Z", "updatedAt": "2026-05-01T00:00:00Z", "metadata": map[string]string{}, "channels": nil, "rateLimit": nil,
	}
}

// svixPage is the number of endpoints of a page, however many are asked for.
const svixPage = 2

// endpointOrder is what creates or changes an endpoint.
type endpointOrder struct {
	URL         string   `json:"url"`
	UID         string   `json:"uid"`
	Description string   `json:"description"`
	FilterTypes []string `json:"filterTypes"` //nolint:tagliatelle // as Svix spells it
	Disabled    bool     `json:"disabled"`
}

func (s *Svix) readOrder(r *http.Request) (o endpointOrder, problem string) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	u, err := (*url.URL)(nil), decoder.Decode(&o)
	if err == nil {
		u, err = url.Parse(o.URL)
	}
	switch {
	case err != nil:
		return o, "body"
	case u.Scheme != "https" && (!s.Local || !onThisMachine(u)):
		return o, "url must be https"
	case !regexp.MustCompile(`^[a-zA-Z0-9\-_.]+$`).MatchString(o.UID):
		return o, "uid"
	case slices.ContainsFunc(o.FilterTypes, func(name string) bool { return !regexp.MustCompile(`^[a-zA-Z]+\.[a-z]+$`).MatchString(name) }) || len(o.FilterTypes) == 0:
		return o, "filterTypes"
	default:
		return o, ""
	}
}

// all lists the endpoints, or creates one.
func (s *Svix) all(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		from, _ := strconv.Atoi(r.URL.Query().Get("iterator")) // the first page has none
		data := []any{}
		for _, one := range s.endpoints[min(from, len(s.endpoints)):min(from+svixPage, len(s.endpoints))] {
			data = append(data, one.document())
		}
		writeDocument(w, http.StatusOK, map[string]any{"data": data, "iterator": strconv.Itoa(from + svixPage), "done": from+svixPage >= len(s.endpoints)})
		return
	}
	o, problem := s.readOrder(r)
	switch {
	case r.Method != http.MethodPost:
		svixError(w, http.StatusMethodNotAllowed, "method_not_allowed", "")
	case problem != "":
		svixError(w, http.StatusUnprocessableEntity, "validation", problem)
	case slices.ContainsFunc(s.endpoints, func(one SvixEndpoint) bool { return one.UID == o.UID }):
		svixError(w, http.StatusConflict, "conflict", "An endpoint with this uid already exists")
	default:
		s.made++
		key := make([]byte, 24)
		_, _ = rand.Read(key) // never fails
		made := SvixEndpoint{ID: fmt.Sprintf("ep_%024d", s.made), UID: o.UID, URL: o.URL, Disabled: o.Disabled, Types: o.FilterTypes, Secret: "whsec_" + base64.StdEncoding.EncodeToString(key)}
		s.endpoints = append(s.endpoints, made)
		writeDocument(w, http.StatusCreated, made.document())
	}
}

// one answers what concerns an endpoint.
func (s *Svix) one(w http.ResponseWriter, r *http.Request, id, below string) {
	i := slices.IndexFunc(s.endpoints, func(one SvixEndpoint) bool { return one.ID == id })
	switch call := r.Method + " " + below; {
	case i < 0:
		svixError(w, http.StatusNotFound, "not_found", "Entity not found")
	case call == "PUT ":
		o, problem := s.readOrder(r)
		if problem != "" {
			svixError(w, http.StatusUnprocessableEntity, "validation", problem)
			return
		}
		of := &s.endpoints[i]
		of.URL, of.UID, of.Disabled, of.Types = o.URL, o.UID, o.Disabled, o.FilterTypes
		writeDocument(w, http.StatusOK, of.document())
	case call == "PATCH ":
		s.patch(w, r, &s.endpoints[i])
	case call == "GET msg":
		s.listMessages(w, r, id)
	case call == "POST recover":
		s.again(w, r, s.endpoints[i], SvixFailed)
	case call == "POST replay-missing":
		s.again(w, r, s.endpoints[i], SvixMissed)
	case call == "DELETE ":
		s.endpoints = slices.Delete(slices.Clone(s.endpoints), i, i+1)
		w.WriteHeader(http.StatusNoContent)
	case call == "GET secret":
		writeDocument(w, http.StatusOK, map[string]string{"key": s.endpoints[i].Secret})
	case call == "POST secret/rotate":
		var in struct {
			Key string `json:"key"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || !regexp.MustCompile(`^whsec_[a-zA-Z0-9+/=]{32,100}$`).MatchString(in.Key) {
			svixError(w, http.StatusUnprocessableEntity, "validation", "key "+in.Key)
			return
		}
		s.endpoints[i].Secret = in.Key
		w.WriteHeader(http.StatusNoContent)
	case call == "POST send-example":
		s.example(w, r, s.endpoints[i])
	default:
		svixError(w, http.StatusNotFound, "not_found", "Entity not found")
	}
}

// example sends the example of a type, signed, once.
func (s *Svix) example(w http.ResponseWriter, r *http.Request, to SvixEndpoint) {
	var in struct {
		Type string `json:"eventType"` //nolint:tagliatelle // as Svix spells it
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Type == "" {
		svixError(w, http.StatusUnprocessableEntity, "validation", "eventType")
		return
	}
	id := "msg_" + rand.Text()
	writeDocument(w, http.StatusOK, map[string]string{"id": id, "eventType": in.Type, "timestamp": "2026-05-04T10:20:30Z"})
	if to.Disabled {
		return
	}
	body := fmt.Sprintf(`{"data":{"id":"user_2g7np7Hrk0SN6kj5EDMLDaKNL0S","object":"user","email_addresses":[],"created_at":1654012591514,"updated_at":1654012591835},`+
		`"instance_id":"ins_2g7np7Hrk0SN6kj5EDMLDaKNL0S","object":"event","timestamp":1654012591,"type":%q}`, in.Type)
	ctx := context.WithoutCancel(r.Context())
	s.posts.Go(func() {
		status := s.post(ctx, to, id, body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.statuses[id] = status
	})
}

// post signs a message and posts it; it returns the status of the answer, 0 if there is none.
func (s *Svix) post(ctx context.Context, to SvixEndpoint, id, body string) int {
	u, err := url.Parse(to.URL)
	key, keyErr := base64.StdEncoding.DecodeString(strings.TrimPrefix(to.Secret, "whsec_"))
	if err != nil || keyErr != nil {
		return 0
	}
	origin := s.To
	if origin == "" {
		origin = u.Scheme + "://" + u.Host
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, origin+u.RequestURI(), bytes.NewReader([]byte(body)))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("svix-id", id)
	r.Header.Set("svix-timestamp", at)
	r.Header.Set("svix-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for attempt := 1; ; attempt++ { // as the schedule of Svix begins, but faster
		answer, err := client.Do(r)
		if err == nil {
			answer.Body.Close() //nolint:gosec // it is empty
			if answer.StatusCode/100 == 2 || attempt == svixAttempts {
				return answer.StatusCode
			}
		} else if attempt == svixAttempts {
			return 0
		}
		timer := time.NewTimer(500 * time.Millisecond)
		<-timer.C
		r.Body, err = r.GetBody()
		if err != nil {
			return 0
		}
	}
}

// svixAttempts are enough for a receiver that learns of the secret within a second or two.
const svixAttempts = 6
