package pgdb

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// whose is the owner of a connection string.
type whose int

const (
	// operators own DATABASE_URL and the like. Missing parts come from the PG* variables, .pgpass
	// and the certificates in ~/.postgresql, as in psql.
	operators whose = iota
	// tenants own the URL of a project or an integration. It must be complete and gets nothing of
	// the server's own identity.
	tenants
)

// use is how a parameter is treated.
type use int

const (
	taken        use = iota // accepted from anyone
	operatorOnly            // accepted from the operator; it uses something of the server's
	dropped                 // silently ignored: harmless, and common in URLs written for other programs
	refused                 // accepted from no one
)

// param describes a parameter.
type param struct {
	use    use
	values []string // accepted values; nil means any
	check  func(value string) (problem string)
	why    string // for refused and operatorOnly; continues "the parameter x, "
}

const (
	lendsFile = "which names a file on the server"
	ourModes  = "but authsync decides how statements are sent"
	ourPath   = "but authsync qualifies every name with its schema"
	ourPool   = "but authsync sizes its own pools (for the control database see AUTHSYNC_DATABASE_CONNECTIONS)"
	ourPooler = "but authsync detects poolers by itself"
)

// params is the allow-list; a parameter that is not in it is refused. A parameter that would change
// the meaning of a statement is refused with a reason, not silently overridden.
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
		"sslpassword": {use: operatorOnly, why: "which belongs to a file on the server"},
		"sslcertmode": {use: operatorOnly, why: "which refers to a certificate of the server", values: []string{"disable", "allow", "require"}},
		"krbsrvname":  {use: operatorOnly, why: "which refers to a Kerberos ticket of the server"},
		"krbspn":      {use: operatorOnly, why: "which refers to a Kerberos ticket of the server"},

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
		"options":                     {use: refused, why: "but authsync fixes its session settings (set others on the role: ALTER ROLE … SET …)"},
		"hostaddr":                    {use: refused, why: "which duplicates the host: use the address as the host"},
		"sslcrl":                      {use: refused, why: "but certificate revocation lists are not supported"},
		"sslcrldir":                   {use: refused, why: "but certificate revocation lists are not supported"},
	}
}

func lookUp(all map[string]param, name string) (param, bool) {
	if strings.HasPrefix(name, "pool_") || name == "connection_limit" {
		return param{use: refused, why: ourPool}, true
	}
	p, known := all[name]
	return p, known
}

// check applies the rules for the owner of the settings and removes those that are ignored.
func (s settings) check(by whose) error {
	all := params()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		p, known := lookUp(all, name)
		switch {
		case !known:
			return badURL(fmt.Sprintf("has an unknown parameter %s: remove it. Accepted are %s; a server setting can be set on the role "+
				"(ALTER ROLE … SET …)", shown(name), strings.Join(namesOf(all, by), ", ")))
		case p.use == refused:
			return badURL(fmt.Sprintf("has the parameter %s, %s: remove it", shown(name), p.why))
		case p.use == operatorOnly && by == tenants:
			return badURL(fmt.Sprintf("has the parameter %s, %s: remove it and %s", name, p.why, urlForm))
		case p.values != nil && !slices.Contains(p.values, s[name]):
			return badURL(fmt.Sprintf("has an invalid value of %s: must be one of %s", name, strings.Join(p.values, ", ")))
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

// namesOf lists the accepted parameters other than host, port, user, password and database.
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

// checkTLS refuses settings that look safer than they are.
func (s settings) checkTLS(by whose) error {
	mode := s["sslmode"]
	strict := mode == "require" || mode == "verify-ca" || mode == "verify-full"
	switch {
	case by == tenants && s["sslrootcert"] != "" && s["sslrootcert"] != "system":
		return badURL("has the parameter sslrootcert, " + lendsFile + ": remove it, or use sslrootcert=system for the authorities that this server trusts")
	case s["sslrootcert"] == "system" && mode != "verify-full":
		return badURL("has sslrootcert=system, which requires sslmode=verify-full: add that")
	case s["sslnegotiation"] == "direct" && !strict:
		return badURL("has sslnegotiation=direct, which requires sslmode=require, verify-ca or verify-full: add one")
	case s.has("sslcert") != s.has("sslkey"):
		return badURL("has only one of sslcert and sslkey: set both or neither")
	}
	return nil
}

func checkConnectTimeout(value string) string {
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 600 {
		return "has an invalid connect_timeout: must be whole seconds from 1 to 600"
	}
	return ""
}

func checkApplicationName(value string) string {
	if len(value) > 63 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "has an application_name that PostgreSQL would truncate or change: must be at most 63 ASCII characters"
	}
	return ""
}

func checkRequireAuth(value string) string {
	methods := []string{"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}
	negated := strings.HasPrefix(value, "!")
	for one := range strings.SplitSeq(value, ",") {
		name, not := strings.CutPrefix(one, "!")
		if not != negated || !slices.Contains(methods, name) {
			return "has an unknown require_auth: must be one of " + strings.Join(methods, ", ") + ", separated by commas, all or none prefixed with !"
		}
	}
	return ""
}
