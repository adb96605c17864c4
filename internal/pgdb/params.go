package pgdb

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// whose says who gave a connection string.
type whose int

const (
	// operators: DATABASE_URL and the like. What it leaves out comes from the PG… variables,
	// .pgpass and the certificates in ~/.postgresql, as it does for psql.
	operators whose = iota
	// tenants: the URL of a project, or one that was given with an integration. It stands for
	// itself: nothing of the server's own identity is lent to it.
	tenants
)

// use says what becomes of a parameter.
type use int

const (
	taken        use = iota // by anybody
	operatorOnly            // by the operator; it lends something of the server's
	dropped                 // it changes nothing that matters here, and URLs of other programs have it
	refused                 // by anybody
)

// param is what is known of a parameter.
type param struct {
	use    use
	values []string // those that it takes; nil: any
	check  func(value string) (problem string)
	why    string // of refused and operatorOnly: goes on from "the parameter x, "
}

const (
	lendsFile = "which names a file of the server"
	ourModes  = "but authsync chooses by itself how statements are sent"
	ourPath   = "but every name that authsync uses has its schema"
	ourPool   = "but authsync sizes its pools by itself (for the control database see AUTHSYNC_DATABASE_CONNECTIONS)"
	ourPooler = "but authsync notices a pooler by itself"
)

// params is the allow-list: a parameter that is not in it is refused. What would change the
// meaning of a statement is refused with its reason, not overridden without a word.
func params() map[string]param {
	file := param{use: operatorOnly, why: lendsFile}
	mode := param{use: refused, why: ourModes}
	path := param{use: refused, why: ourPath}
	pooler := param{use: refused, why: ourPooler}
	quiet := param{use: dropped}
	return map[string]param{
		hostParam:     {},
		portParam:     {},
		userParam:     {},
		passwordParam: {},
		databaseParam: {},

		"application_name":     {check: checkApplicationName},
		"connect_timeout":      {check: checkConnectTimeout},
		"target_session_attrs": {values: []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}},
		"sslmode":              {values: []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
		"sslrootcert":          {},
		"sslsni":               {values: []string{"0", "1"}},
		"sslnegotiation":       {values: []string{"postgres", "direct"}},
		"channel_binding":      {values: []string{"disable", "prefer", "require"}},
		"require_auth":         {check: checkRequireAuth},

		"sslcert":     file,
		"sslkey":      file,
		"passfile":    file,
		"service":     file,
		"servicefile": file,
		"sslpassword": {use: operatorOnly, why: "which belongs to a file of the server"},
		"sslcertmode": {use: operatorOnly, why: "which is about a certificate of the server", values: []string{"disable", "allow", "require"}},
		"krbsrvname":  {use: operatorOnly, why: "which is about a ticket of the server"},
		"krbspn":      {use: operatorOnly, why: "which is about a ticket of the server"},

		"keepalives":                quiet,
		"keepalives_idle":           quiet,
		"keepalives_interval":       quiet,
		"keepalives_count":          quiet,
		"tcp_user_timeout":          quiet,
		"fallback_application_name": quiet,
		"gssencmode":                {use: dropped, values: []string{"disable", "prefer"}},
		"client_encoding":           {use: dropped, values: []string{"UTF8", "utf8", "UTF-8", "utf-8", "auto"}},

		"default_query_exec_mode":     mode,
		"statement_cache_capacity":    mode,
		"description_cache_capacity":  mode,
		"standard_conforming_strings": mode,
		"search_path":                 path,
		"schema":                      path,
		"currentSchema":               path,
		"pgbouncer":                   pooler,
		"prepareThreshold":            pooler,
		"options":                     {use: refused, why: "but authsync fixes the settings of its sessions (others can be given to the role: ALTER ROLE … SET …)"},
		"hostaddr":                    {use: refused, why: "which stands beside the host: write the address in its place"},
		"sslcrl":                      {use: refused, why: "but lists of revoked certificates are not supported"},
		"sslcrldir":                   {use: refused, why: "but lists of revoked certificates are not supported"},
	}
}

// lookUp finds what is known of a parameter.
func lookUp(all map[string]param, name string) (param, bool) {
	if strings.HasPrefix(name, "pool_") || name == "connection_limit" {
		return param{use: refused, why: ourPool}, true
	}
	p, known := all[name]
	return p, known
}

// check applies the rules for the one who gave the settings, and leaves out what changes nothing.
func (s settings) check(by whose) error {
	all := params()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		p, known := lookUp(all, name)
		switch {
		case !known:
			return badURL(fmt.Sprintf("has the parameter %s, which authsync does not know: leave it out. It takes %s; a setting of the server's can be given to the role "+
				"(ALTER ROLE … SET …)", shown(name), strings.Join(namesOf(all, by), ", ")))
		case p.use == refused:
			return badURL(fmt.Sprintf("has the parameter %s, %s: leave it out", shown(name), p.why))
		case p.use == operatorOnly && by == tenants:
			return badURL(fmt.Sprintf("has the parameter %s, %s: leave it out and %s", name, p.why, urlForm))
		case p.values != nil && !slices.Contains(p.values, s[name]):
			return badURL(fmt.Sprintf("has a value of %s that is not taken: it takes %s", name, strings.Join(p.values, ", ")))
		case p.check != nil:
			if problem := p.check(s[name]); problem != "" {
				return badURL(problem)
			}
		}
		if p.use == dropped {
			delete(s, name)
		}
	}
	return s.checkTLS(by)
}

// namesOf lists what may be given beside host, port, user, password and database.
func namesOf(all map[string]param, by whose) []string {
	var names []string
	for name, p := range all {
		isPart := slices.Contains([]string{hostParam, portParam, userParam, passwordParam, databaseParam}, name)
		if !isPart && (p.use == taken || (p.use == operatorOnly && by == operators)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkTLS refuses what looks safer than it is.
func (s settings) checkTLS(by whose) error {
	mode := s["sslmode"]
	strict := mode == "require" || mode == "verify-ca" || mode == "verify-full"
	switch {
	case by == tenants && s["sslrootcert"] != "" && s["sslrootcert"] != "system":
		return badURL("has the parameter sslrootcert, " + lendsFile + ": leave it out, or write sslrootcert=system for the authorities that this server trusts")
	case s["sslrootcert"] == "system" && mode != "verify-full":
		return badURL("has sslrootcert=system, which only means something with sslmode=verify-full: add that")
	case s["sslnegotiation"] == "direct" && !strict:
		return badURL("has sslnegotiation=direct, which needs sslmode=require, verify-ca or verify-full: add one")
	case s.has("sslcert") != s.has("sslkey"):
		return badURL("has only one of sslcert and sslkey: give both or none")
	}
	return nil
}

func checkConnectTimeout(value string) string {
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 600 {
		return "has a connect_timeout that is none: it takes whole seconds from 1 to 600"
	}
	return ""
}

func checkApplicationName(value string) string {
	if len(value) > 63 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "has an application_name that PostgreSQL would cut or change: it takes up to 63 characters of ASCII"
	}
	return ""
}

func checkRequireAuth(value string) string {
	methods := []string{"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}
	negated := strings.HasPrefix(value, "!")
	for one := range strings.SplitSeq(value, ",") {
		name, not := strings.CutPrefix(one, "!")
		if not != negated || !slices.Contains(methods, name) {
			return "has a require_auth that does not exist: it takes " + strings.Join(methods, ", ") + ", separated by commas, each or none with a ! before it"
		}
	}
	return ""
}
