package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/source"
)

const (
	// fakeKey is that of a production instance, whose rate limit is kept.
	fakeKey  = "sk_live_YmVuY2htYXJr"
	fakeUser = "user_benchmark000000000000000"
)

// maxPage is what Clerk gives at once.
const maxPage = 500

// fake is a Clerk that answers at once: its users differ in their ids only, and
// are written when they are asked for.
type fake struct {
	kind  clerk.Provider
	user  []byte // a user, as the API gives it
	ids   []int  // where the number stands
	users int

	url       string
	transport *http.Transport
}

// newFake prepares the user, of some 1.4 kB.
func newFake() (*fake, error) {
	kind := clerk.New()
	_, body, err := kind.Sign(provider.Sample{
		Type: "user.updated", ID: eventID, UserID: fakeUser, Set: map[string]any{"unsafe_metadata": map[string]any{"notes": ""}},
	}, provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_YmVuY2htYXJr"}}, provider.Options{}, time.Now())
	if err != nil {
		return nil, err
	}
	var doc struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read the sample: %w", err)
	}
	f := &fake{kind: kind, user: doc.Data, transport: egress.New(egress.Config{Allow: egress.Loopback()}).Transport()}
	if missing := 1400 - len(f.user); missing > 0 {
		f.user = bytes.Replace(f.user, []byte(`"notes":""`), []byte(`"notes":"`+strings.Repeat("lorem ipsum ", missing/12)+`"`), 1)
	}
	f.ids = ends(f.user, fakeUser)
	if len(f.ids) == 0 {
		return nil, errors.New("the sample does not hold the user id")
	}
	return f, nil
}

// Open opens the account of the fake.
func (f *fake) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	users, err := f.kind.NewSource(provider.Credentials{SecretKey: fakeKey}, provider.Options{BaseURL: f.url}, userapi.Deps{Transport: f.transport})
	// It has no organizations.
	return source.Account{Source: users, Importer: f.kind, Options: provider.Options{RecordTypes: []string{provider.MirrorUsers}}, Alone: true}, err
}

// serve answers until it is stopped.
func (f *fake) serve(ctx context.Context) (stop func(), err error) {
	address, stopServer, err := listen(ctx, f)
	if err != nil {
		return nil, err
	}
	f.url = "http://" + address + "/v1"
	return func() {
		f.transport.CloseIdleConnections()
		stopServer()
	}, nil
}

// ServeHTTP answers what a walk asks for.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/v1/users/count":
		fmt.Fprintf(w, `{"object": "total_count", "total_count": %d}`, f.users)
	case "/v1/users":
		first := 0
		if after := r.URL.Query().Get("starting_after"); after != "" {
			first = number(after) + 1
		}
		_, _ = w.Write(f.page(first)) //nolint:gosec // made-up users for our own client; one that has gone notices
	default: // one user: at the end of a walk the last one
		_, _ = w.Write(f.appendUser(nil, number(r.URL.Path)))
	}
}

// number is that of a user, by the end of the id.
func number(id string) int {
	n, err := strconv.Atoi(id[max(len(id)-digits, 0):])
	if err != nil {
		return -1 // behind whom all users stand
	}
	return n
}

// page writes the users from a number on.
func (f *fake) page(first int) []byte {
	users := max(min(maxPage, f.users-first), 0)
	body := make([]byte, 0, users*(len(f.user)+1)+2)
	body = append(body, '[')
	for i := range users {
		if i > 0 {
			body = append(body, ',')
		}
		body = f.appendUser(body, first+i)
	}
	return append(body, ']')
}

func (f *fake) appendUser(body []byte, n int) []byte {
	begins := len(body)
	body = append(body, f.user...)
	for _, at := range f.ids {
		copy(body[begins+at:], fmt.Sprintf("%0*d", digits, n))
	}
	return body
}
