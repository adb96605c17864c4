package auth0_test

import (
	"testing"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
)

// delivery is a user.updated of the size that Auth0 sends, some 1.4 kB.
func delivery(b *testing.B) provider.Delivery {
	b.Helper()
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	c := provider.Credentials{WebhookSigningSecret: provider.Secrets{"s3cret"}}
	_, body, err := auth0.New().Sign(provider.Sample{Type: "user.updated"}, c, provider.Options{}, now)
	if err != nil {
		b.Fatal(err)
	}
	return provider.Delivery{ReceivedAt: now, Body: body}
}

func BenchmarkDecode(b *testing.B) {
	d := delivery(b)
	b.SetBytes(int64(len(d.Body)))
	b.ReportAllocs()
	for b.Loop() {
		auth0.New().Decode(d, provider.Options{})
	}
}

func BenchmarkValidBody(b *testing.B) {
	d := delivery(b)
	v, err := auth0.New().NewVerifier(provider.Credentials{}, provider.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(d.Body)))
	for b.Loop() {
		if v.ValidBody(d.Body) != nil {
			b.Fatal("refused")
		}
	}
}
