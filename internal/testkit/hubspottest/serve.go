package hubspottest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The paths of contacts and companies.
const (
	Contacts  = objectsPath + contacts
	Companies = objectsPath + companies

	objectsPath = "/crm/v3/objects/"
)

// maxBody is the longest request that is read.
const maxBody = 4 << 20

// ServeHTTP answers a request, wrongly if it is to go wrong.
func (h *HubSpot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	h.mu.Lock()
	fault := h.faults.next(r.Method, r.URL.Path)
	var a *answer
	if fault.before() {
		a = fault.answer()
	} else {
		a = h.answer(r, body)
		if fault.Kind == FaultAfter {
			a = fault.answer()
		}
	}
	h.calls = append(h.calls, Call{Method: r.Method, Path: r.URL.Path, Body: body, Status: a.status})
	h.mu.Unlock()

	if fault.Kind == FaultHang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if h.config.Delay > 0 {
		select {
		case <-time.After(h.config.Delay):
		case <-r.Context().Done():
		}
	}
	write(w, a, fault.Kind == FaultCut)
}

func write(w http.ResponseWriter, a *answer, cut bool) {
	maps.Copy(w.Header(), a.header)
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	body, err := json.Marshal(a.body)
	if text, plain := a.body.(string); plain {
		body = []byte(text)
	} else {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
	}
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if cut {
		w.Write(body[:len(body)/2])           //nolint:errcheck,gosec // the client may have gone
		http.NewResponseController(w).Flush() //nolint:gosec // the same
		panic(http.ErrAbortHandler)
	}
	w.Write(body) //nolint:errcheck,gosec // the client may have gone
}

// answer does what a request says.
func (h *HubSpot) answer(r *http.Request, body []byte) *answer {
	now := h.config.Now()
	search := strings.HasPrefix(r.URL.Path, objectsPath) && strings.HasSuffix(r.URL.Path, "/search")
	headers, limited := h.limiter.take(now, search)
	if limited != nil {
		h.violate(limited.violation)
		limited.answer.header = headers
		return limited.answer
	}
	a := h.permit(r)
	if a == nil {
		a = h.route(r, body)
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	if !search { // search's answers have no such headers
		maps.Copy(a.header, headers)
	}
	return a
}

func (h *HubSpot) permit(r *http.Request) *answer {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	scopes, known := h.config.Tokens[token]
	if !bearer || !known {
		// It repeats the token, as some servers do: no one else may.
		return refuse(http.StatusUnauthorized, "INVALID_AUTHENTICATION", "Authentication credentials not found: "+token)
	}
	missing := slices.DeleteFunc(needs(r), func(scope string) bool { return slices.Contains(scopes, scope) })
	if len(missing) == 0 {
		return nil
	}
	a := refuse(http.StatusForbidden, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")
	a.body = withDetail(a.body, detail{
		Message: "One or more of the following scopes are required.", Context: map[string][]string{"requiredGranularScopes": missing},
	})
	return a
}

// needs are the scopes that a request needs.
func needs(r *http.Request) []string {
	reads := r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/search") || strings.HasSuffix(r.URL.Path, "/batch/read")
	switch {
	case !strings.HasPrefix(r.URL.Path, objectsPath):
		return []string{WriteScope, CompanyWriteScope}
	case strings.HasPrefix(r.URL.Path, Companies) && reads:
		return []string{CompanyReadScope}
	case strings.HasPrefix(r.URL.Path, Companies):
		return []string{CompanyWriteScope}
	case reads:
		return []string{ReadScope}
	default:
		return []string{WriteScope}
	}
}

func withDetail(body any, d detail) any {
	p, ok := body.(problem)
	if !ok {
		return body
	}
	p.Errors = append(p.Errors, d)
	return p
}

func (h *HubSpot) route(r *http.Request, body []byte) *answer {
	if rest, ok := strings.CutPrefix(r.URL.Path, Contacts); ok {
		return h.contacts.route(r, rest, body)
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, Companies); ok {
		return h.companies.route(r, rest, body)
	}
	return h.associate(r, body)
}

// route answers requests about objects; path is what follows their own.
func (s *store) route(r *http.Request, path string, body []byte) *answer {
	id := strings.TrimPrefix(path, "/")
	idProperty := r.URL.Query().Get("idProperty")
	properties := strings.Split(r.URL.Query().Get("properties"), ",")
	switch {
	case r.Method == http.MethodPost && path == "":
		return decoded(body, s.create)
	case r.Method == http.MethodPost && path == "/gdpr-delete" && s.plural == "contacts":
		return decoded(body, s.erase)
	case r.Method == http.MethodPost && path == "/search":
		return decoded(body, s.search)
	case r.Method == http.MethodPost && path == "/batch/read":
		return decoded(body, s.batchRead)
	case r.Method == http.MethodPost && path == "/batch/upsert":
		return decoded(body, s.batchUpsert)
	case r.Method == http.MethodPost && path == "/batch/update":
		return decoded(body, s.batchUpdate)
	case r.Method == http.MethodGet && id != "":
		return s.read(id, idProperty, properties)
	case r.Method == http.MethodPatch && id != "":
		return decoded(body, func(in change) *answer { return s.update(id, idProperty, in) })
	case r.Method == http.MethodDelete && id != "":
		return s.archive(id)
	default:
		return refuse(http.StatusMethodNotAllowed, "VALIDATION_ERROR", "method not allowed")
	}
}

func decoded[T any](body []byte, do func(T) *answer) *answer {
	var in T
	if err := json.Unmarshal(body, &in); err != nil {
		return refuse(http.StatusBadRequest, "VALIDATION_ERROR", "Invalid input JSON: "+err.Error())
	}
	return do(in)
}
