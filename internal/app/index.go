package app

import (
	"net/http"
	"strings"
)

// index answers / for a person who opens the address in a browser: what this is
// and where to go.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(strings.TrimLeft(indexText, "\n"))) // whoever asked may be gone
}

const indexText = `
This is authsync. It mirrors the users of identity providers into PostgreSQL.

  POST /api/capydb/v1/integrations/{auth0|clerk|better-auth}/webhook/{projectID}
                            where providers send their webhooks
  GET  /api/capydb/v1/projects
                            the management API; show it Authorization: Bearer capy_…
  GET  /river/              River UI, where a person sees and steers jobs; sign in with the same key
  GET  /healthz             whether the process lives
  GET  /readyz              whether it can work, else which part cannot
  GET  /metrics             numbers for Prometheus

To look and steer, use the command: authsync --help
`
