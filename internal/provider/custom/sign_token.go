package custom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// signToken makes a request whose signature is a JWS with the secret.
func (s *scheme) signToken(key, body []byte, now time.Time) (http.Header, []byte, error) {
	if s.Scheme == schemeJWS && s.BodyClaim == "" { // detached
		token := s.tokenOf(key, body, true)
		return http.Header{s.Header: {s.Prefix + token}, "Content-Type": {"application/json"}}, body, nil
	}
	claims := map[string]any{}
	if s.Scheme == schemeJWTBody {
		if err := json.Unmarshal(body, &claims); err != nil || claims == nil {
			return nil, nil, errors.New("the sample gives no object, and the claims of a token are one")
		}
	}
	claims["iat"] = now.Unix()
	if s.Issuer != "" {
		claims["iss"] = s.Issuer
	}
	if s.Audience != "" {
		claims["aud"] = s.Audience
	}
	if s.Scheme == schemeJWS {
		claims[s.BodyClaim] = s.hashOf(body)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return nil, nil, err
	}
	token := s.tokenOf(key, text, false)
	if s.Scheme == schemeJWTBody {
		return http.Header{"Content-Type": {"application/jwt"}}, []byte(token), nil
	}
	return http.Header{s.Header: {s.Prefix + token}, "Content-Type": {"application/json"}}, body, nil
}

// tokenOf makes a JWS of a payload; a detached one leaves the payload out.
func (s *scheme) tokenOf(key, payload []byte, detached bool) string {
	name := s.Algorithms[0]
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + name + `","typ":"JWT"}`))
	middle := base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(symmetricHash(name), key)
	mac.Write([]byte(head + "." + middle))
	if detached {
		middle = ""
	}
	return head + "." + middle + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// hashOf writes the hash of a body as body_hash says.
func (s *scheme) hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	if s.BodyHash == "hex" {
		return hex.EncodeToString(sum[:])
	}
	return base64.StdEncoding.EncodeToString(sum[:])
}
