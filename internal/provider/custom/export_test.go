package custom

import (
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// AnEnvelope is true of an envelope of Amazon EventBridge.
const AnEnvelope = anEnvelope

// SampleBody is the body of a sample, which only the provider can sign.
func SampleBody(p *Provider, s provider.Sample, o provider.Options, now time.Time) ([]byte, error) {
	d, err := p.definition(o)
	if err != nil {
		return nil, err
	}
	if s.ID == "" {
		s.ID = "evt_" + provider.RandomID(24)
	}
	return d.sampleBody(s, now)
}
