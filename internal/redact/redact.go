// Package redact keeps what other people's databases and servers say out of logs and
// jobs. Such text may quote a row, and with it names and addresses of users; it belongs
// where only those see it who may see the row: authsync.events, the API, the project's
// own database.
//
// It stands beside the road of a webhook: package app puts Handler behind its logger and
// Middleware around all jobs, so that no station has to remember.
//
// It keeps nothing that could be lost if the process dies.
package redact

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
)

// maxText bounds what is kept of an error, in bytes.
const maxText = 1000

// Text gives an error on one line, without what a database said that may quote a row: its
// SQLSTATE stands in place of it. PostgreSQL's own words about connections, rights and
// resources stay, for they quote nothing. Addresses of e-mail and the queries of URLs go too.
func Text(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	walk(err, func(one error) {
		switch e := one.(type) { //nolint:errorlint // walk visits each error of the tree
		case *pgconn.PgError:
			text = withoutQuotes(text, e)
		case *url.Error:
			text = strings.ReplaceAll(text, e.URL, bareURL(e.URL))
		}
	})
	return shorten(Line(text))
}

// Reason is Text for people who wait for something: of a database that cannot be reached or
// cannot serve it says what to do.
func Reason(err error) string {
	if trouble := pgdb.Trouble(err); trouble != "" {
		return shorten(Line(trouble))
	}
	return Text(err)
}

// Line gives a text on one line, without addresses of e-mail.
func Line(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if !strings.Contains(text, "@") {
		return text
	}
	return address.ReplaceAllString(text, "${1}…@…")
}

// address finds addresses of e-mail. The user of a connection URL, which stands behind
// "//", is none.
var address = regexp.MustCompile(`(^|[^/\pL\pN._%+'-])[\pL\pN._%+'-]+@[\pL\pN-]+(?:\.[\pL\pN-]+)+`)

// withoutQuotes replaces what a database said by its code, unless it is known to quote nothing.
func withoutQuotes(text string, e *pgconn.PgError) string {
	if !quotes(e) {
		return text
	}
	said := Code(e)
	text = strings.ReplaceAll(text, e.Error(), said)
	for _, part := range []string{e.Message, e.Detail, e.Hint, e.Where, e.InternalQuery} {
		if len(part) > 3 { // less is more likely to stand in a word of ours
			text = strings.ReplaceAll(text, part, said)
		}
	}
	return text
}

// Code names an error of PostgreSQL by its SQLSTATE and what that means.
func Code(e *pgconn.PgError) string {
	if len(e.Code) != 5 { //nolint:mnd // by definition
		return "a database error"
	}
	if meaning := classes()[e.Code[:2]]; meaning != "" {
		return "SQLSTATE " + e.Code + " (" + meaning + ")"
	}
	return "SQLSTATE " + e.Code
}

// quotes reports whether the message may quote a row or a value. What RAISE says may
// hold anything, whatever its code.
func quotes(e *pgconn.PgError) bool {
	if e.Routine == "exec_stmt_raise" || e.Where != "" || len(e.Code) != 5 {
		return true
	}
	switch e.Code[:2] {
	case "08", "25", "28", "3D", "3F", "40", "53", "54", "55", "57", "58":
		return false
	case "42":
		return e.Code == "42601" // syntax_error quotes the statement
	default:
		return true
	}
}

// classes says what classes of SQLSTATEs mean, of those that are met.
func classes() map[string]string {
	return map[string]string{
		"08": "connection exception", "0A": "feature not supported", "21": "cardinality violation", "22": "data exception",
		"23": "integrity constraint violation", "25": "invalid transaction state", "28": "invalid authorization",
		"40": "transaction rollback", "42": "syntax error or access rule violation", "44": "WITH CHECK OPTION violation",
		"53": "insufficient resources", "54": "program limit exceeded", "55": "object not in prerequisite state",
		"57": "operator intervention", "58": "system error", "P0": "raised by a function or trigger", "XX": "internal error",
	}
}

// walk visits an error and all that it wraps.
func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	switch e := err.(type) { //nolint:errorlint // this is what errors.As does
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			walk(one, visit)
		}
	default:
		walk(errors.Unwrap(err), visit)
	}
}

func bareURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "…"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
