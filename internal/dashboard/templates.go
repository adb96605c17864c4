package dashboard

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"html/template"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed pages/style.css
var styleCSS []byte

//go:embed pages/page.js
var pageJS []byte

// formsJS uses what pageJS has: browsers get both as one file.
//
//go:embed pages/forms.js
var formsJS []byte

//go:embed pages/icon.svg
var iconSVG []byte

// templates are the pages by name, each within the layout.
var templates = parsePages( //nolint:gochecknoglobals // read-only
	"home", "project", "events", "event", "records", "record", "replay", "keys", "integration", "newproject", "newclone", "fault",
	"destinations", "destinationnew", "destinationform", "destination", "destinationpreview", "destinationreplay", "destinationconfirm", "deliveries", "delivery", "audit",
)

func parsePages(names ...string) map[string]*template.Template {
	layout := template.Must(template.New("").Funcs(template.FuncMap{
		"moment": momentOf, "plural": plural.Of[int], "path": pathOf, "text": text, "title": provider.Title, "query": withQuery, "age": age, "kept": keptFor,
		"once": rand.Text, "deliveries": newDeliveryTable, "destination": pathOfDestination, "took": tookText, "destinationState": stateOf, "provisionStep": provisionStep, "held": heldBackOf,
	}).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html", "pages/destinationparts.html", "pages/definitionparts.html"))
	pages := make(map[string]*template.Template, len(names))
	for _, name := range names {
		pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return pages
}

// moment is a time as pages show it: to the second, and exactly on hover.
type moment struct{ Short, Exact string }

// momentOf takes a time or a pointer to one; nil for none.
func momentOf(t any) *moment {
	var at time.Time
	switch t := t.(type) {
	case time.Time:
		at = t.UTC()
	case *time.Time:
		if t == nil {
			return nil
		}
		at = t.UTC()
	}
	if at.IsZero() {
		return nil
	}
	return &moment{Short: at.Format("2006-01-02 15:04:05") + " UTC", Exact: at.Format(time.RFC3339Nano)}
}

// text is empty for nil.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// withQuery adds parameters, given as names and values, to a path.
func withQuery(path string, namesAndValues ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		query.Set(namesAndValues[i], namesAndValues[i+1])
	}
	return path + "?" + query.Encode()
}

// age is a number of seconds in words.
func age(seconds int64) string { return (time.Duration(seconds) * time.Second).String() }

// Limits of what a page shows of one value, in bytes.
const (
	maxBodyShown   = 64 << 10
	maxValueShown  = 64 << 10 // in a row
	maxChangeShown = 4 << 10  // in a history, which has many
)

// excerpt is a text that may have been cut.
type excerpt struct {
	Text string
	Cut  int // how many bytes are not shown
}

func excerptOf(s string, limit int) excerpt {
	if len(s) <= limit {
		return excerpt{Text: s}
	}
	end := limit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return excerpt{Text: s[:end], Cut: len(s) - end}
}

// pretty indents JSON; ok is false for other text.
func pretty(s string) (indented string, ok bool) {
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil {
		return "", false
	}
	return b.String(), true
}

// value is a value of a column.
type value struct {
	None   bool
	Moment *moment
	Long   bool // it is JSON of several lines
	excerpt
}

// valueOf reads a value of a row and shows that many bytes of it; isTime says that the column has times.
func valueOf(raw json.RawMessage, isTime bool, limit int) value {
	trimmed := strings.TrimSpace(string(raw))
	if trimmed == "" || trimmed == "null" {
		return value{None: true}
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if at, err := time.Parse(time.RFC3339, s); isTime && err == nil {
			return value{Moment: momentOf(at)}
		}
		return value{excerpt: excerptOf(s, limit)}
	}
	if indented, ok := pretty(trimmed); ok && strings.Contains(indented, "\n") {
		return value{Long: true, excerpt: excerptOf(indented, limit)}
	}
	return value{excerpt: excerptOf(trimmed, limit)}
}
