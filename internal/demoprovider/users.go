package demoprovider

import (
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"

	"github.com/authsync/authsync/internal/problem"
)

const (
	maxChange = 64 << 10
	listed    = 20 // of the newest users
)

// Listing is the answer to GET /users.
type Listing struct {
	Users []User `json:"users"`
	Total int    `json:"total"`
}

// users answers GET with the newest users and takes a Change by POST. Nobody needs
// a key, for the users are generated; but no web page may send changes from a
// browser on this machine.
func (d *Demo) users(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r.Host) {
		refuse(w, r, http.StatusForbidden, "this answers on this machine's own address alone")
		return
	}
	switch r.Method {
	case http.MethodGet:
		name, err := d.named(r.URL.Query().Get("provider"))
		if err != nil {
			refuse(w, r, http.StatusBadRequest, err.Error())
			return
		}
		users, total, err := d.Newest(name, listed)
		answer(w, r, Listing{Users: users, Total: total}, err)
	case http.MethodPost:
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			refuse(w, r, http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json")
			return
		}
		var c Change
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&c); err != nil {
			refuse(w, r, http.StatusBadRequest, `the body must be JSON such as {"action": "create", "provider": "clerk", "email": "ada@example.com"}`)
			return
		}
		user, err := d.Apply(r.Context(), c)
		answer(w, r, user, err)
	default:
		refuse(w, r, http.StatusMethodNotAllowed, "use GET or POST")
	}
}

func isLocal(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func answer(w http.ResponseWriter, r *http.Request, body any, err error) {
	switch {
	case errors.Is(err, errNoUser):
		refuse(w, r, http.StatusNotFound, err.Error())
		return
	case err != nil:
		refuse(w, r, http.StatusUnprocessableEntity, err.Error())
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		refuse(w, r, http.StatusInternalServerError, "the answer cannot be written")
		return
	}
	writeJSON(w, http.StatusOK, string(text))
}

func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	problem.Write(w, r, status, detail)
}
