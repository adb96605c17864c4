package dashboard

import (
	"encoding/base64"
	"fmt"

	"github.com/authsync/authsync/internal/provider"
)

const (
	// offeredField is the field of a form with a signing secret that may be chosen, sealed.
	offeredField = "offered"
	offeredSeal  = "dashboard offered secret"
)

// offerSecret makes a signing secret for a form. It is part of the form, sealed, so that a form that is sent twice, as by
// a double click or because no answer came, stores one secret and not two of which the first was never seen.
func (d *Dashboard) offerSecret(v *visit, providerName string) (sealed string, err error) {
	text, err := d.config.Keyring.Seal([]byte(provider.NewSigningSecret(providerName)), offeredSeal, v.project.ID, providerName)
	if err != nil {
		return "", fmt.Errorf("offer a signing secret: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// offeredSecret is the secret that the form which was sent has offered; ok is false if it is none of ours for this
// integration.
func (d *Dashboard) offeredSecret(v *visit, providerName string) (secret string, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(v.form.Get(offeredField))
	if err != nil {
		return "", false
	}
	plain, err := d.config.Keyring.Open(sealed, offeredSeal, v.project.ID, providerName)
	return string(plain), err == nil
}
