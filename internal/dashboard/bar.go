package dashboard

import (
	"bytes"
	_ "embed"
	"net/http"
	"strconv"
	"strings"
)

// barPath is a path that River UI does not use.
const barPath = RiverPath + "/authsync/"

//go:embed bar.css
var barCSS []byte

// barJS runs before River UI's own script. It keeps Zod, which River UI uses, from probing whether it may
// compile code: the policy forbids that, and the browser would report a violation.
const barJS = "globalThis.__zod_globalConfig = { jitless: true };\n"

// bar is added to River UI's pages: a link back to the projects and the sign-out button.
const bar = `<nav id="authsync-bar" aria-label="authsync"><a href="/">authsync</a>` +
	`<form method="post" action="` + SignOutPath + `"><button>Sign out</button></form></nav>`

const (
	headOfBar = `<link rel="stylesheet" href="` + barPath + `bar.css"><script src="` + barPath + `bar.js"></script>`
	endOfHead = "</head>"
	endOfBody = "</body>"
)

// serveBar serves the bar's script and style.
func serveBar(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, barPath) {
	case "bar.css":
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(barCSS) // the client may have disconnected
	case "bar.js":
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write([]byte(barJS))
	default:
		notFound(w, r)
	}
}

// withBar adds the bar to HTML pages of a handler and passes other responses through.
func withBar(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, barPath) {
			serveBar(w, r)
			return
		}
		b := &barWriter{ResponseWriter: w}
		next.ServeHTTP(b, r)
		b.finish()
	})
}

// barWriter buffers a page.
type barWriter struct {
	http.ResponseWriter

	status int
	page   *bytes.Buffer // nil: not a page
}

// WriteHeader implements http.ResponseWriter.
func (b *barWriter) WriteHeader(status int) {
	if b.status != 0 {
		return
	}
	b.status = status
	if strings.HasPrefix(b.Header().Get("Content-Type"), "text/html") {
		b.page = &bytes.Buffer{}
		return
	}
	b.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (b *barWriter) Write(p []byte) (int, error) {
	if b.status == 0 {
		if b.Header().Get("Content-Type") == "" {
			b.Header().Set("Content-Type", http.DetectContentType(p))
		}
		b.WriteHeader(http.StatusOK)
	}
	if b.page != nil {
		return b.page.Write(p)
	}
	return b.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (b *barWriter) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *barWriter) finish() {
	if b.page == nil {
		return
	}
	page := bytes.Replace(b.page.Bytes(), []byte(endOfHead), []byte(headOfBar+endOfHead), 1)
	page = bytes.Replace(page, []byte(endOfBody), []byte(bar+endOfBody), 1)
	b.Header().Set("Content-Length", strconv.Itoa(len(page)))
	b.ResponseWriter.WriteHeader(b.status)
	_, _ = b.ResponseWriter.Write(page) // the client may have disconnected
}
