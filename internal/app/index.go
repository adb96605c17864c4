package app

import (
	"html"
	"net/http"
	"regexp"
	"strings"
)

// index serves / to programs, and without the role api to browsers, too: what this is and where to go.
func index(w http.ResponseWriter, r *http.Request) {
	text := strings.TrimLeft(indexText, "\n")
	contentType := "text/plain; charset=utf-8"
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		contentType = "text/html; charset=utf-8"
		text = indexHead + links.ReplaceAllString(html.EscapeString(text), `GET  <a href="$1">$1</a>`) + "</pre>\n"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
	_, _ = w.Write([]byte(text)) // the client may have gone
}

// links matches the paths that a browser can open.
var links = regexp.MustCompile(`GET  (/\S*)`)

const indexHead = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>authsync</title>
<pre>`

const indexText = `
This is authsync. It mirrors users and organizations of identity providers into PostgreSQL.

  POST /api/capydb/v1/integrations/{auth0|clerk|better-auth}/webhook/{projectID}
                            where providers send their webhooks
  GET  /api/capydb/v1/projects
                            the management API; show it Authorization: Bearer capy_…
  GET  /api/capydb/v1/openapi.yaml
                            its description, also as openapi.json
  GET  /                    in a browser the projects, events and records; sign in with the same key
  GET  /river/              River UI, where a person sees and steers jobs
  GET  /healthz             whether the process lives
  GET  /readyz              whether it can work, else which part cannot
  GET  /metrics             numbers for Prometheus; show it a key, too

To look and steer, use the command: authsync --help
`
