package dashboard

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/project"
)

const (
	sessionLength = 12 * time.Hour
	// sessionSeal is the context the cookie is sealed with, so that no other sealed value opens as a session.
	sessionSeal = "dashboard session"
	// sessionSize is the size of the key id and the expiry in Unix seconds.
	sessionSize = len(uuid.UUID{}) + 8
)

// errNoSession means that the request has no session, or an expired or altered one.
var errNoSession = errors.New("no session")

// isOver reports whether an error means that nobody is signed in, as opposed to an unknown state.
func isOver(err error) bool {
	return errors.Is(err, errNoSession) || errors.Is(err, project.ErrNoKey)
}

// session returns the key the browser signed in with.
func (d *Dashboard) session(r *http.Request) (project.Key, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(d.cookie(r, sessionCookie))
	if err != nil {
		return project.Key{}, errNoSession
	}
	plain, err := d.config.Keyring.Open(sealed, sessionSeal)
	if err != nil || len(plain) != sessionSize {
		return project.Key{}, errNoSession
	}
	id, end := uuid.UUID(plain[:len(uuid.UUID{})]), int64(binary.BigEndian.Uint64(plain[len(uuid.UUID{}):])) //nolint:gosec // as startSession wrote it
	if d.config.Now().Unix() >= end {
		return project.Key{}, errNoSession
	}
	return d.config.Keys.FindKey(r.Context(), id)
}

// startSession sets the session cookie.
func (d *Dashboard) startSession(w http.ResponseWriter, r *http.Request, key project.Key) error {
	end := d.config.Now().Add(sessionLength)
	plain := binary.BigEndian.AppendUint64(key.ID[:], uint64(end.Unix())) //nolint:gosec // not before 1970
	sealed, err := d.config.Keyring.Seal(plain, sessionSeal)
	if err != nil {
		return fmt.Errorf("start a session: %w", err)
	}
	d.setSession(w, r, base64.RawURLEncoding.EncodeToString(sealed), sessionLength)
	return nil
}

// setSession sets the session cookie; a negative age deletes it. Browsers send it along when a link on another site,
// such as a ticket, leads to a page; nothing changes by that, and the forms of other sites are refused (see sameOrigin).
func (d *Dashboard) setSession(w http.ResponseWriter, r *http.Request, value string, age time.Duration) {
	d.setCookie(w, r, sessionCookie, value, age, http.SameSiteLaxMode)
}
