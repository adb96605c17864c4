package dashboard

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// maxForm is the size of a form in bytes; the longest texts in one are mappings of destinations.
const maxForm = 256 << 10

// done is what a form led to.
type done struct {
	// page is where the browser goes, and notice what it says there, once.
	page, notice string
	// shown is a page in place of going on: the form again with what is wrong with it, or something that is shown once.
	shown *view
}

// maxWork is how long a form may take, less than the server lets an answer take.
const maxWork = 80 * time.Second

// act takes the forms of browsers that are signed in. What a form does, it does by calls of the API, and to its end: a
// browser that sends it once more drops the first request. A look, which only shows something, ends with its request.
func (d *Dashboard) act(do func(*visit) (done, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, ok := d.enter(w, r)
		if !ok {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		ctx := r.Context()
		if !isLook(r) {
			ctx = context.WithoutCancel(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, maxWork)
		defer cancel()
		r = r.WithContext(ctx)
		v := &visit{Request: r, api: d.config.API, key: key, form: r.PostForm}
		d.serve(w, v, func(v *visit) (view, error) { //nolint:contextcheck // the visit is the request
			if err != nil {
				return view{}, unreadable(err)
			}
			did, err := do(v)
			switch {
			case err != nil:
				return view{}, err
			case did.shown != nil:
				return *did.shown, nil
			}
			d.leaveNotice(w, r, did.notice)
			return view{redirect: did.page}, nil
		})
	}
}

// only is a page with a form for which a key needs a role: to others it says so, before they fill it in.
func only(need project.Role, show func(*visit) (view, error)) func(*visit) (view, error) {
	return func(v *visit) (view, error) {
		if !v.key.May(need) {
			return view{}, problemOf(http.StatusForbidden, "This page changes something, which takes a key with the role "+string(need)+"; yours has the role "+string(v.key.Role)+".")
		}
		return show(v)
	}
}

func unreadable(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return problemOf(http.StatusRequestEntityTooLarge, "What was entered is too long.")
	}
	return problemOf(http.StatusBadRequest, "The form could not be read. Open the page again and send it once more.")
}

// entered is what was entered into a field, without spaces around it.
func (v *visit) entered(field string) string { return strings.TrimSpace(v.form.Get(field)) }

const (
	noticeLength = time.Minute
	noticeSeal   = "dashboard notice"
	maxNotice    = 1000 // bytes; a cookie takes 4 kB
)

// leaveNotice keeps a sentence for the next page. It is encrypted, so that no link or other site can make a page say
// something.
func (d *Dashboard) leaveNotice(w http.ResponseWriter, r *http.Request, notice string) {
	if notice == "" {
		return
	}
	sealed, err := d.config.Keyring.Seal([]byte(excerptOf(notice, maxNotice).Text), noticeSeal)
	if err != nil {
		d.config.Log.ErrorContext(r.Context(), "notice_not_left", slog.Any("error", err), slog.String("request_id", problem.RequestID(r.Context())))
		return
	}
	d.noticeIs(w, r, base64.RawURLEncoding.EncodeToString(sealed), noticeLength)
}

// takeNotice returns the sentence that an earlier answer left, and removes it. It is for the page that is opened next,
// and not for one that looks for news meanwhile.
func (d *Dashboard) takeNotice(w http.ResponseWriter, r *http.Request) string {
	left := d.cookie(r, noticeCookie)
	if left == "" || isLook(r) {
		return ""
	}
	d.noticeIs(w, r, "", -time.Second)
	sealed, err := base64.RawURLEncoding.DecodeString(left)
	if err != nil {
		return ""
	}
	notice, err := d.config.Keyring.Open(sealed, noticeSeal)
	if err != nil {
		return ""
	}
	return string(notice)
}

func (d *Dashboard) noticeIs(w http.ResponseWriter, r *http.Request, value string, age time.Duration) {
	d.setCookie(w, r, noticeCookie, value, age, http.SameSiteStrictMode)
}

// formPage is the page that has the form, as the browser says; it leads nowhere else.
func formPage(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil {
		return "/"
	}
	return localPath(from.RequestURI())
}
