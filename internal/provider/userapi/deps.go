package userapi

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/provider"
)

// Sourcer is a provider whose users can be read.
type Sourcer interface {
	// NewSource prepares reading; it sends nothing. The error wraps ErrNoCredentials if the
	// credentials do not suffice, and lists the missing ones; other errors name the invalid
	// credential or option.
	//
	// A Source may keep a download open between pages: if it is an io.Closer, close it when it is
	// no longer needed.
	NewSource(c provider.Credentials, o provider.Options, d Deps) (Source, error)
	// ReconcileEvery returns the default reconcile interval, which balances its cost at the
	// provider and the possible loss without it. It has the format of option reconcile.every.
	ReconcileEvery() string
}

// CanRead reports whether credentials and options allow reading users. If not, why lists what is
// missing.
func CanRead(s Sourcer, c provider.Credentials, o provider.Options) (can bool, why string) {
	_, err := s.NewSource(c, o, Deps{SQL: func(provider.Secret, provider.UserTables) (Source, error) { return nil, nil }}) //nolint:nilnil // nothing is read
	if err != nil {
		return false, err.Error()
	}
	return true, ""
}

// Deps are the dependencies of a Source. The zero value works for a single Source.
type Deps struct {
	// Transport sends the requests and decides where they may go; nil creates one that reaches
	// public addresses. See package egress.
	Transport http.RoundTripper
	// Limits are the rate limits shared by the sources of a process; nil means that this Source is
	// its account's only one.
	Limits *Limits
	// UserAgent is sent with each request; empty means "authsync".
	UserAgent string
	// Timeout limits a request, and each wait for more of a long download; 0 means 15 s.
	Timeout time.Duration
	// MaxPause is the longest pause that is waited out in place; 0 means 5 s.
	MaxPause time.Duration
	// Now and Sleep are the clock; nil means the real one. Sleep returns the context's error if ctx
	// ends first.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter returns a number from 0 to 1 that spreads retries; nil means random.
	Jitter func() float64
	// SQL opens the customer's own tables as a Source. An empty database URL means the project's
	// own database. Nil means that this is not supported.
	SQL func(databaseURL provider.Secret, tables provider.UserTables) (Source, error)
}

// WithDefaults returns the dependencies with the defaults of their comments.
func (d Deps) WithDefaults() Deps {
	if d.Transport == nil {
		d.Transport = egress.New(egress.Config{}).Transport()
	}
	d.UserAgent = cmp.Or(d.UserAgent, "authsync")
	d.Timeout = cmp.Or(d.Timeout, 15*time.Second)
	d.MaxPause = cmp.Or(d.MaxPause, 5*time.Second)
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Sleep == nil {
		d.Sleep = pause.For
	}
	if d.Jitter == nil {
		d.Jitter = randomJitter
	}
	return d
}
