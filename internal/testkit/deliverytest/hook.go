package deliverytest

import (
	"fmt"
	"net/http"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
)

// Hook is the type webhook with an address and a secret of the test.
type Hook struct {
	webhook.Type

	URL string
}

// New makes a webhook destination.
func (h Hook) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	_, secret, _ := h.NewSecret()
	name := h.SecretNames()[0]
	c.Options = []byte(fmt.Sprintf(`{"url": %q}`, h.URL))
	c.Secrets.Values = map[string]string{name: secret}
	d.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return h.Type.New(c, d)
}
