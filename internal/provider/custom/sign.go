package custom

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// Sign makes the body by the definition's sample and signs it with the first secret. There are no samples of a provider that
// signs with a private key.
func (p *Provider) Sign(s provider.Sample, c provider.Credentials, o provider.Options, now time.Time) (http.Header, []byte, error) {
	header, body, err := p.sign(s, c, o, now)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a sample of %s: %w", provider.Title(p.name), err)
	}
	return header, body, nil
}

func (p *Provider) sign(s provider.Sample, c provider.Credentials, o provider.Options, now time.Time) (http.Header, []byte, error) {
	if _, err := p.NewVerifier(c, o); err != nil {
		return nil, nil, err
	}
	d, err := p.definition(o)
	switch {
	case err != nil:
		return nil, nil, err
	case d.scheme.usesKeySet():
		return nil, nil, fmt.Errorf("only the provider can sign by the scheme %s: it has the private key", d.scheme.Scheme)
	case len(c.WebhookSigningSecret) == 0:
		return nil, nil, provider.ErrNoSecret
	case d.sample == nil:
		return nil, nil, errors.New("the definition has no sample: add one, a jq expression that makes the body")
	}
	if s.ID == "" {
		s.ID = "evt_" + provider.RandomID(24)
	}
	body, err := d.sampleBody(s, now)
	if err != nil {
		return nil, nil, err
	}
	secret := string(c.WebhookSigningSecret[0])
	key, err := d.scheme.key(secret)
	if err != nil {
		return nil, nil, err
	}
	if d.scheme.isSymmetric() {
		return d.scheme.signToken(key, body, now)
	}
	header, err := d.scheme.sign(key, s.ID, body, now)
	if err != nil {
		return nil, nil, err
	}
	header.Set("Content-Type", "application/json")
	return header, body, nil
}

// earlier is how much older than its last change the record of a sample is.
const earlier = 30 * 24 * time.Hour

// sampleBody runs the sample's expression.
func (c *Compiled) sampleBody(s provider.Sample, now time.Time) ([]byte, error) {
	at := s.Time(now).UTC()
	if s.UserID == "" {
		s.UserID = "user_" + provider.RandomID(24)
	}
	set := s.Set
	if set == nil {
		set = map[string]any{}
	}
	var object any
	if s.Object != nil {
		object = s.Object
	}
	input, err := json.Marshal(map[string]any{
		"type": s.Type, "id": s.ID, "user_id": s.UserID, "organization_id": s.Organization("org_", 24),
		"at": at.Format(time.RFC3339Nano), "at_millis": at.UnixMilli(), "earlier": at.Add(-earlier).Format(time.RFC3339Nano), "earlier_millis": at.Add(-earlier).UnixMilli(),
		"email": provider.SampleEmail(s.UserID), "object": object, "set": set,
	})
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(input, &value); err != nil {
		return nil, err
	}
	body, found, err := c.sample.One(context.Background(), jq.Of(value))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("the definition's sample gives nothing")
	}
	return json.Marshal(body)
}

// sign makes the headers of a request.
func (s *scheme) sign(key []byte, id string, body []byte, now time.Time) (http.Header, error) {
	at := strconv.FormatInt(now.Unix(), 10)
	if s.TimeUnit == "milliseconds" {
		at = strconv.FormatInt(now.UnixMilli(), 10)
	}
	switch s.Scheme {
	case schemeStandard:
		return standardwebhooks.Sign(key, standardwebhooks.Standard, id, now, body)
	case schemeSvix:
		return standardwebhooks.Sign(key, standardwebhooks.Svix, id, now, body)
	case schemeHMAC:
		h := http.Header{s.Header: {s.Prefix + s.encodeSignature(s.sum(key, verifier{scheme: *s}.content(at, id, body)))}}
		if s.TimeHeader != "" {
			h.Set(s.TimeHeader, at)
		}
		if s.IDHeader != "" {
			h.Set(s.IDHeader, id)
		}
		return h, nil
	case schemeTimestamped:
		signature := s.encodeSignature(s.sum(key, verifier{scheme: *s}.content(at, "", body)))
		return http.Header{s.Header: {"t=" + at + ", " + s.Version + "=" + signature}}, nil
	case schemeBearer:
		return http.Header{s.Header: {"Bearer " + string(key)}}, nil
	case schemeBasic:
		return http.Header{s.Header: {"Basic " + base64.StdEncoding.EncodeToString(key)}}, nil
	default:
		return http.Header{s.Header: {s.Prefix + string(key)}}, nil
	}
}
