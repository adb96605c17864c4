package clerk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// Clerk sends its webhooks by Svix: each instance has an application there, whose portal is opened by a link
// that Clerk's API makes. The link's fragment holds a token that can be used once; exchanged, it allows the
// ordinary calls of Svix's API for that application. Neither Clerk nor Svix documents the exchange: it was
// seen in public code (2026-08). So every answer is checked, and whatever is not as expected is a
// fault.Unsupported that leads to setting the webhook up by hand.
const (
	portalOrigin = "https://app.svix.com"
	svixAppPath  = "/webhooks/svix"
	svixURLPath  = "/webhooks/svix_url"
	appMissing   = "svix_app_missing"
	appExists    = "svix_app_exists"
	maxSvix      = 1 << 20 // bytes of an answer
)

// byHand is what to do where this way is closed.
const byHand = ". Clerk does not document this way of setting up a webhook, so it may change. By hand: Clerk dashboard, Configure, Webhooks, Add Endpoint, " +
	"paste the webhook URL, and store its signing secret (authsync integrations set PROJECT clerk --webhook-signing-secret-file FILE) " +
	"without options.provision"

// regionForm is strict, because the region becomes a part of a host name.
var regionForm, appForm = regexp.MustCompile(`^[a-z]{2}$`), regexp.MustCompile(`^app_[A-Za-z0-9]{1,64}$`)

// svix is a session with the Svix application of an instance.
type svix struct {
	mu    sync.Mutex
	base  string // of the application's part of the API; empty: there is no session
	token string
}

// portal is what the link to the portal says.
type portal struct {
	AppID        string `json:"appId"`
	OneTimeToken string `json:"oneTimeToken"`
	Region       string `json:"region"`
}

// surprise makes an answer that is not as expected a reason to go by hand. Trouble that passes, and a refused
// key, stay what they are.
func (w *webhooks) surprise(err error) error {
	if !fault.Is(err, fault.ProviderError) {
		return err
	}
	return fault.Wrap(fault.Unsupported, err, w.client.Say(err.Error(), w.secretsOf()...)+byHand)
}

func (w *webhooks) secretsOf() []string {
	w.svix.mu.Lock()
	defer w.svix.mu.Unlock()
	return []string{w.svix.token}
}

// session returns the base of the application's calls and their token; concurrent callers share one.
func (w *webhooks) session(ctx context.Context) (base, token string, err error) {
	w.svix.mu.Lock()
	defer w.svix.mu.Unlock()
	if w.svix.base != "" {
		return w.svix.base, w.svix.token, nil
	}
	link, err := w.link(ctx)
	if err != nil {
		return "", "", err
	}
	p, app, api, err := w.places(link)
	if err != nil {
		return "", "", err
	}
	const what = "open the webhook portal"
	var granted struct {
		Token string `json:"token"`
	}
	answer, err := w.client.Do(ctx, userapi.Request{
		What: what, Method: http.MethodPost, URL: app + "/api/" + p.Region + "/api/v1/auth/one-time-token",
		JSON: map[string]string{"oneTimeToken": p.OneTimeToken}, MaxBody: maxSvix,
	})
	if err != nil {
		return "", "", err
	}
	if !answer.OK() {
		return "", "", w.client.Unexpected(what, answer, "")
	}
	if json.Unmarshal(answer.Body, &granted) != nil || granted.Token == "" {
		return "", "", fault.New(fault.ProviderError, what+" of Clerk: the answer has no token")
	}
	w.svix.base, w.svix.token = api+"/api/v1/app/"+p.AppID, granted.Token
	return w.svix.base, w.svix.token, nil
}

// forget ends a session whose token is refused, unless it has been replaced.
func (w *webhooks) forget(token string) {
	w.svix.mu.Lock()
	defer w.svix.mu.Unlock()
	if w.svix.token == token {
		w.svix.base, w.svix.token = "", ""
	}
}

// link asks Clerk for the link to the portal, and has it create the application if there is none. Another
// process may do the same.
func (w *webhooks) link(ctx context.Context) (string, error) {
	link, code, err := w.askLink(ctx, svixURLPath)
	if err == nil && code == appMissing {
		if link, code, err = w.askLink(ctx, svixAppPath); err == nil && code == appExists {
			link, code, err = w.askLink(ctx, svixURLPath)
		}
	}
	if err == nil && code != "" {
		err = fault.New(fault.ProviderError, "open the webhook portal of Clerk: Clerk says "+w.client.Say(code))
	}
	return link, err
}

func (w *webhooks) askLink(ctx context.Context, path string) (link, code string, err error) {
	const what = "ask for the webhook portal"
	request := w.request(what, path, nil)
	request.Method, request.JSON, request.MaxBody = http.MethodPost, struct{}{}, maxSvix
	answer, err := w.client.Do(ctx, request)
	if err != nil {
		return "", "", err
	}
	if answer.Status == http.StatusBadRequest {
		if code := readProblem(answer.Body).code; code == appMissing || code == appExists {
			return "", code, nil
		}
	}
	if !answer.OK() {
		return "", "", w.refused(what, answer)
	}
	var made struct {
		URL string `json:"svix_url"`
	}
	if json.Unmarshal(answer.Body, &made) != nil || made.URL == "" {
		return "", "", fault.New(fault.ProviderError, what+" of Clerk: the answer has no svix_url")
	}
	return made.URL, "", nil
}

// places reads the link, and returns where the token is exchanged and where the API is: Svix's own hosts, or, if
// option base_url leads elsewhere and the link to the same server, that server.
func (w *webhooks) places(link string) (p portal, app, api string, err error) {
	malformed := func(what string) error {
		return fault.New(fault.ProviderError, "open the webhook portal of Clerk: the link "+what)
	}
	u, err := url.Parse(link)
	if err != nil {
		return p, "", "", malformed("cannot be read") // the cause would quote it, and with it the token
	}
	if p, err = readKey(u.Fragment); err != nil {
		return p, "", "", malformed(err.Error())
	}
	switch origin := egress.Origin(u.Scheme + "://" + u.Host); {
	case origin == egress.Origin(portalOrigin):
		return p, portalOrigin, "https://api." + p.Region + ".svix.com", nil
	case w.ownBase && origin == egress.Origin(w.base):
		own := strings.TrimSuffix(w.base, apiPath)
		return p, own, own, nil
	default:
		return p, "", "", malformed("leads to another host than app.svix.com")
	}
}

// readKey reads the fragment of a link.
func readKey(fragment string) (p portal, err error) {
	values, err := url.ParseQuery(fragment)
	if err != nil {
		return p, errors.New("has no key")
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(values.Get("key"), "="))
	switch {
	case err != nil || len(text) == 0 || json.Unmarshal(text, &p) != nil:
		return portal{}, errors.New("has no key")
	case !appForm.MatchString(p.AppID) || p.OneTimeToken == "":
		return portal{}, errors.New("names no application")
	case !regionForm.MatchString(p.Region):
		return portal{}, errors.New("names no region")
	default:
		return p, nil
	}
}

// call makes a call of the application's API. A token that is refused is replaced once. The caller checks the
// status.
func (w *webhooks) call(ctx context.Context, r userapi.Request) (*userapi.Response, error) {
	path := r.URL
	for attempt := 1; ; attempt++ {
		base, token, err := w.session(ctx)
		if err != nil {
			return nil, w.surprise(err)
		}
		r.URL, r.Bearer, r.MaxBody = base+path, token, maxSvix
		answer, err := w.client.Do(ctx, r)
		if err != nil {
			return nil, w.surprise(err)
		}
		if answer.Status != http.StatusUnauthorized {
			return answer, nil
		}
		w.forget(token)
		if attempt == 2 {
			return nil, w.surprise(w.client.Unexpected(r.What, answer, ""))
		}
	}
}

// unexpected is the error of a call whose status is not what it should be.
func (w *webhooks) unexpected(what string, answer *userapi.Response) error {
	var said struct {
		Code   string          `json:"code"`
		Detail json.RawMessage `json:"detail"`
	}
	words := ""
	if json.Unmarshal(answer.Body, &said) == nil {
		words = w.client.Say(strings.TrimSpace(said.Code+" "+string(said.Detail)), w.secretsOf()...)
	}
	return w.surprise(w.client.Unexpected(what, answer, words))
}
