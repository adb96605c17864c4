package measure

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
)

const (
	// pageAim is within which a page should appear.
	pageAim = 200 * time.Millisecond
	// pagePatience bounds how long a page is opened again and again.
	pagePatience = 5 * time.Second
	// pageTimeout is longer than any page takes: the server gives up before.
	pageTimeout = 2 * time.Minute
)

// dashboards measures how long each page of the dashboard takes with a large project, before PostgreSQL has statistics
// of its tables and after.
func (e *environment) dashboards(ctx context.Context, w io.Writer, c Config) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
	fmt.Fprintln(w, "\nDashboard: each page of a server with a large project, as a browser sees it")
	d, err := e.newDelivery(ctx, config.Roles{API: true}, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	f, err := d.newFilled(ctx, c)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := f.fillAll(ctx); err != nil {
		return err
	}
	say("%d users, %d messages of %d days, %d deliveries, %d other projects", c.mirrored, c.Inbox, filledDays, c.Deliveries, c.Projects)
	say("loaded in %s", time.Since(began).Round(time.Second/10))
	b, err := f.signIn(ctx)
	if err != nil {
		return err
	}
	if err := f.showPages(ctx, w, b, "right after the load"); err != nil {
		return err
	}
	if err := f.analyze(ctx); err != nil {
		return err
	}
	return f.showPages(ctx, w, b, "after ANALYZE")
}

// newFilled makes the large project, which is to be filled.
func (d *delivery) newFilled(ctx context.Context, c Config) (*filled, error) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	f := &filled{delivery: d, config: c, from: today.AddDate(0, 0, 1-filledDays)}
	if err := f.withoutStatistics(ctx); err != nil {
		return nil, err
	}
	var err error
	if f.big, err = d.newTenant(ctx, "shop"); err != nil {
		return nil, err
	}
	databaseURL, err := d.app.Store.DatabaseURL(ctx, f.big.ID)
	if err != nil {
		return nil, err
	}
	if f.mirror, err = d.app.Store.Tenants().Open(ctx, databaseURL, pgdb.Options{MaxConns: fillers}); err != nil {
		return nil, err
	}
	d.closers = append(d.closers, func(context.Context) error { f.mirror.Close(); return nil })
	for n := range filledDestinations {
		name := fmt.Sprintf("webhook-%d", n)
		if err := d.webhook(ctx, f.big, name, "/"+name); err != nil {
			return nil, err
		}
	}
	if _, err := d.api.ActOn(ctx, f.big.Name, "webhook-0", "pause", client.PauseOrder{}); err != nil {
		return nil, err
	}
	const selectIDs = `SELECT array_agg(d.id ORDER BY d.name) FROM authsync.destinations AS d WHERE d.project_id = $1`
	if err := d.control.QueryRow(ctx, selectIDs, f.big.ID).Scan(&f.destinations); err != nil {
		return nil, fmt.Errorf("read the destinations: %w", err)
	}
	return f, nil
}

// browser is someone who is signed in.
type browser struct {
	http    *http.Client
	address string
	cookie  *http.Cookie
}

// signIn enters a key for all projects.
func (d *delivery) signIn(ctx context.Context) (*browser, error) {
	_, key, err := d.app.Store.CreateKey(ctx, project.KeyInput{Name: "dashboard"})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{}
	d.closers = append(d.closers, func(context.Context) error { transport.CloseIdleConnections(); return nil })
	b := &browser{address: d.app.URL(), http: &http.Client{
		Transport: transport, Timeout: pageTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	form := strings.NewReader(url.Values{"key": {key}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.address+"/sign-in", form)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := b.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	if err := answer.Body.Close(); err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	if len(answer.Cookies()) != 1 {
		return nil, fmt.Errorf("sign in: the dashboard answered %s", answer.Status)
	}
	b.cookie = answer.Cookies()[0]
	return b, nil
}

// open opens a page, and tells how long it took to be read in full.
func (b *browser) open(ctx context.Context, path string) (text string, status int, took time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address+path, http.NoBody)
	if err != nil {
		return "", 0, 0, fmt.Errorf("open %s: %w", path, err)
	}
	r.Header.Set("Accept", "text/html")
	r.AddCookie(b.cookie)
	began := time.Now()
	answer, err := b.http.Do(r)
	if err != nil {
		return "", 0, 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = answer.Body.Close() }() // it has been read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", 0, 0, fmt.Errorf("open %s: %w", path, err)
	}
	return string(body), answer.StatusCode, time.Since(began), nil
}

// shownPage is how long a page took.
type shownPage struct {
	load

	name   string
	status int // other than 200, if it ever was
}

func (p *shownPage) cells() []string {
	name := p.name
	if p.status != 0 {
		name += fmt.Sprintf(" (%d)", p.status)
	}
	return []string{name, strconv.Itoa(len(p.latencies)), short(p.percentile(0.5)), short(p.percentile(0.95)), short(p.latencies[len(p.latencies)-1])}
}

// showPages opens all pages and writes how long they took, the slowest first, and which large tables were read as a whole for them.
func (f *filled) showPages(ctx context.Context, w io.Writer, b *browser, when string) error {
	var all []*shownPage
	opened := 0
	scansBefore, err := f.scans(ctx, b)
	if err != nil {
		return err
	}
	measure := func(name, path string) (text string, err error) {
		p := &shownPage{name: name}
		all = append(all, p)
		began := time.Now()
		for len(p.latencies) < f.config.Repeat && (len(p.latencies) == 0 || time.Since(began) < pagePatience) {
			var status int
			var took time.Duration
			if text, status, took, err = b.open(ctx, path); err != nil {
				return "", err
			}
			if status != http.StatusOK {
				p.status = status
			}
			p.latencies = append(p.latencies, took)
			opened++
		}
		p.sort()
		return text, nil
	}
	for _, page := range f.pages() {
		text, err := measure(page.name, page.path)
		if err != nil {
			return err
		}
		if !page.list {
			continue
		}
		if next := nextPage(text); next != "" {
			if _, err := measure(page.name+", p. 2", next); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *shownPage) int { return int(b.percentile(0.95) - a.percentile(0.95)) })
	rows := [][]string{{when, "n", "p50", "p95", "max"}}
	const aim = "---- aim: p95 of 200 ms ----"
	met := false
	for _, p := range all {
		if !met && p.percentile(0.95) <= pageAim {
			met = true
			rows = append(rows, []string{aim, "", "", "", ""})
		}
		rows = append(rows, p.cells())
	}
	table(w, rows)
	return f.showScans(ctx, w, b, scansBefore, opened)
}

var nextLink = regexp.MustCompile(`<a href="([^"]+)" rel="next">`)

// nextPage is where the link to the next page leads; empty: there is none.
func nextPage(text string) string {
	if found := nextLink.FindStringSubmatch(text); found != nil {
		return html.UnescapeString(found[1])
	}
	return ""
}
