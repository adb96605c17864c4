package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/preview"
)

// previewIntegration shows what would be stored of a request, and stores nothing. It takes the options that are given, otherwise
// the stored ones; and the stored secrets, for which only whether one matches is shown. Public keys are not fetched.
func (a *API) previewIntegration(r *http.Request) (answer, error) {
	p, kind, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Options    json.RawMessage   `json:"options"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
		ReceivedAt *time.Time        `json:"received_at"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	leave, ok := a.previews.enter(p.ID.String())
	if !ok {
		return answer{}, errPreviewing
	}
	defer leave()
	credentials, options, err := a.config.Store.Credentials(r.Context(), p.ID, kind.Name())
	if err != nil && !errors.Is(err, project.ErrNoIntegration) {
		return answer{}, err
	}
	if in.Options != nil {
		if options, err = project.ParseOptions(in.Options); err != nil {
			return answer{}, err
		}
	}
	verifier, err := kind.NewVerifier(credentials, options)
	if err != nil && in.Options != nil { // the secrets may be for another scheme than the one that is tried
		verifier, err = kind.NewVerifier(provider.Credentials{}, options)
	}
	if err != nil {
		return answer{}, wrongField("options", "%v", err)
	}
	request := preview.Request{Body: []byte(in.Body), ReceivedAt: time.Now().UTC()}
	if in.ReceivedAt != nil {
		request.ReceivedAt = in.ReceivedAt.UTC()
	}
	if in.Headers != nil {
		request.Header = http.Header{}
		for name, value := range in.Headers {
			request.Header.Set(name, value)
		}
	}
	result, err := preview.Of(r.Context(), kind, verifier, options, request)
	if unavailable := new(jq.UnavailableError); errors.As(err, &unavailable) {
		return answer{}, fail(fault.Unavailable, "no process to run the expressions in was to be had: try again")
	}
	return answer{status: http.StatusOK, body: result}, err
}
