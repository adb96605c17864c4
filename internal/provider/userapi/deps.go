package userapi

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
)

// Sourcer is what a provider implements whose users can be read.
type Sourcer interface {
	// NewSource prepares reading; it sends nothing. The error wraps
	// ErrNoCredentials where the credentials do not suffice, and says which
	// are missing; other errors name the credential or option that is wrong.
	//
	// A Source may keep a download open between two pages: where it is an
	// io.Closer, close it when it is not needed any more.
	NewSource(c provider.Credentials, o provider.Options, d Deps) (Source, error)
	// ReconcileEvery is how often the users are compared with the mirror unless
	// options say it, by what that costs at the provider and what may be lost
	// without it. It is spelled as option reconcile.every.
	ReconcileEvery() string
}

// CanRead reports whether credentials and options allow reading users. If not, why
// says what is missing.
func CanRead(s Sourcer, c provider.Credentials, o provider.Options) (can bool, why string) {
	_, err := s.NewSource(c, o, Deps{SQL: func(provider.Secret, provider.UserTables) (Source, error) { return nil, nil }}) //nolint:nilnil // nothing is read
	if err != nil {
		return false, err.Error()
	}
	return true, ""
}

// Deps is what a Source needs of its surroundings. The zero value is good for
// one Source alone.
type Deps struct {
	// Transport sends the requests and decides where they may go; nil makes a
	// new one that reaches what is public. See package outbound.
	Transport http.RoundTripper
	// Limits are the rate limits that the sources of a process share; nil
	// means that this Source is the only one of its account.
	Limits *Limits
	// UserAgent is sent with each request; empty: "authsync".
	UserAgent string
	// Timeout bounds a request, and the wait for more of a long download; 0: 15 s.
	Timeout time.Duration
	// MaxPause is the longest pause that is waited out in place; 0: 5 s.
	MaxPause time.Duration
	// Now and Sleep are the clock; nil: the real one. Sleep ends early, with
	// the context's error, when ctx ends.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter spreads retries: a number from 0 to 1; nil: random.
	Jitter func() float64
	// SQL opens the customer's own tables as a Source. An empty database URL
	// means the project's own database. Nil: that is not possible here.
	SQL func(databaseURL provider.Secret, tables provider.UserTables) (Source, error)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d Deps) withDefaults() Deps {
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
		d.Sleep = sleep
	}
	if d.Jitter == nil {
		d.Jitter = randomJitter
	}
	return d
}
