package pgdb

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ErrBadURL is the cause of errors about an invalid connection string.
var ErrBadURL = errors.New(
	"not a PostgreSQL connection URL; it looks like postgres://user:password@host:5432/database, " +
		"and characters such as @ / ? # % in the password must be percent-encoded",
)

const urlForm = "write postgres://user:password@host:5432/database" //nolint:gosec // a form to fill in, which holds no secret

// URLError explains what is wrong with a connection URL and how to fix it. Its text continues the
// name of the field ("is …", "names …"). It quotes nothing of the URL but parameter names. It is an
// ErrBadURL.
type URLError struct{ Problem string }

func (e *URLError) Error() string { return e.Problem }

// Is makes every URLError match ErrBadURL.
func (e *URLError) Is(target error) bool { return target == ErrBadURL }

func badURL(problem string) error { return &URLError{problem} }

// names of the parameters that the authority and path of a URL stand for.
const (
	hostParam     = "host"
	portParam     = "port"
	userParam     = "user"
	passwordParam = "password"
	databaseParam = "dbname"
)

// settings are the parsed connection string, keyed by libpq's parameter names. Several hosts and
// ports are separated by commas.
type settings map[string]string

func (s settings) has(name string) bool { _, has := s[name]; return has }

// read is the only parser of connection strings: its result is what is checked, shown and connected
// to. A second parser that disagreed on where a host ends could connect to a host that was not
// checked.
//
// keywords also allows the form "host=db dbname=shop".
func read(text string, keywords bool) (settings, error) {
	text, err := tidy(text)
	if err != nil {
		return nil, err
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	if scheme = strings.ToLower(scheme); isURL && (scheme == "postgres" || scheme == "postgresql") {
		return readURL(rest)
	}
	if keywords && !isURL && strings.Contains(text, "=") {
		return readKeywords(text)
	}
	return nil, badURL("is " + ErrBadURL.Error())
}

// tidy removes what copying a URL adds, and refuses what could be intentional.
func tidy(text string) (string, error) {
	text = strings.TrimFunc(text, invisible)
	for _, mark := range []string{`"`, `'`, "`"} {
		if strings.HasPrefix(text, mark) || strings.HasSuffix(text, mark) && strings.Contains(text, "://") {
			return "", badURL("is in quotation marks: remove them")
		}
	}
	isURL := strings.Contains(text, "://")
	for _, r := range text {
		switch {
		case unicode.IsControl(r) && (r != '\t' || isURL):
			return "", badURL("contains a line break or another control character: write it on one line, and percent-encode what belongs to the password")
		case isURL && invisible(r):
			return "", badURL("contains a space or an invisible character: remove it, or percent-encode it if it belongs to the password")
		}
	}
	return text, nil
}

// invisible reports whether r is a space or one of the zero-width characters that web pages and
// chats add.
func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
}

// readURL parses what follows the scheme:
//
//	user:password@host:port,host:port/database?name=value&name=value
func readURL(rest string) (settings, error) {
	if strings.Contains(rest, "#") {
		return nil, badURL("contains a #: write it as %23")
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.Contains(tail, "@") {
		// Most likely the password contains / or ?. Continuing would show parts of it as names.
		return nil, badURL("has an @ after the host: characters such as @ / ? # % in the password must be percent-encoded (@ is %40, / is %2F, ? is %3F)")
	}
	s := settings{}
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		user, password, hasPassword := strings.Cut(authority[:at], ":")
		if err := s.setDecoded(userParam, user); err != nil {
			return nil, err
		}
		if hasPassword {
			if err := s.setDecoded(passwordParam, password); err != nil {
				return nil, err
			}
		}
	}
	if hosts != "" {
		if err := s.setHosts(hosts); err != nil {
			return nil, err
		}
	}
	path, query, _ := strings.Cut(tail, "?")
	if path = strings.TrimPrefix(path, "/"); path != "" {
		if strings.Contains(path, "/") {
			return nil, badURL("has a database name that contains a /: remove it, or write it as %2F")
		}
		if err := s.setDecoded(databaseParam, path); err != nil {
			return nil, err
		}
	}
	return s, s.readQuery(query)
}

func (s settings) setDecoded(name, text string) error {
	value, err := url.PathUnescape(text) // like libpq, keep + as it is
	if err != nil || strings.ContainsRune(value, 0) {
		return badURL("has a % that begins no escape: write it as %25")
	}
	if value != "" || name == passwordParam {
		s[name] = value
	}
	return nil
}

// setHosts parses host:port,[address]:port.
func (s settings) setHosts(text string) error {
	var hosts, ports []string
	for one := range strings.SplitSeq(text, ",") {
		host, port := one, ""
		if inner, after, isV6 := strings.Cut(strings.TrimPrefix(one, "["), "]"); strings.HasPrefix(one, "[") {
			if !isV6 || (after != "" && after[0] != ':') {
				return badURL("has a host with [ but no ]: " + urlForm)
			}
			host, port = inner, strings.TrimPrefix(after, ":")
		} else if before, after, is := strings.Cut(one, ":"); is {
			host, port = before, after
		}
		host, err := url.PathUnescape(host)
		if err != nil || strings.Contains(host, ",") {
			return badURL("has a % that begins no escape: write it as %25")
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	s[hostParam] = strings.Join(hosts, ",")
	if slices.ContainsFunc(ports, func(p string) bool { return p != "" }) {
		s[portParam] = strings.Join(ports, ",")
	}
	return nil
}

func (s settings) readQuery(query string) error {
	if query == "" {
		return nil
	}
	given := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		rawName, rawValue, hasValue := strings.Cut(pair, "=")
		name, err := url.PathUnescape(rawName)
		if err != nil {
			return badURL("has a % that begins no escape: write it as %25")
		}
		value, err := url.PathUnescape(rawValue)
		switch {
		case err != nil || strings.ContainsRune(value, 0):
			return badURL("has a % that begins no escape: write it as %25")
		case !hasValue || name == "":
			return badURL("has a parameter without a value: write it as ?name=value&name=value")
		}
		if err := s.add(name, value, given); err != nil {
			return err
		}
	}
	return nil
}

// add stores a named parameter; given holds those already seen.
func (s settings) add(name, value string, given map[string]bool) error {
	if name == "database" {
		name = databaseParam
	}
	if name == "ssl" && value == "true" { // libpq accepts it for compatibility with JDBC
		name, value = "sslmode", "require"
	}
	if given[name] || (s.has(name) && s[name] != value) {
		return badURL("sets " + shown(name) + " twice: remove one")
	}
	given[name] = true
	s[name] = value
	return nil
}

// readKeywords parses libpq's other form: name = value, separated by spaces; a value may be in
// single quotes, and a backslash escapes the next character.
func readKeywords(text string) (settings, error) {
	s, given := settings{}, map[string]bool{}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		name, rest, ok := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t'\"\\") {
			return nil, badURL("is " + ErrBadURL.Error())
		}
		value, after, err := readValue(strings.TrimSpace(rest))
		if err != nil {
			return nil, err
		}
		if err := s.add(name, value, given); err != nil {
			return nil, err
		}
		text = after
	}
	return s, nil
}

func readValue(text string) (value, rest string, err error) {
	text, quoted := strings.CutPrefix(text, "'")
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case quoted && c == '\'':
			return b.String(), text[i+1:], nil
		case !quoted && (c == ' ' || c == '\t'):
			return b.String(), text[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", badURL("has an unclosed ': " + urlForm)
	}
	return b.String(), "", nil
}

// connString formats the settings for pgx, quoted so that they can be read in only one way.
func (s settings) connString() string {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + "='" + escape.Replace(s[name]) + "' ")
	}
	return b.String()
}

// hosts returns the hosts and checks them and their ports.
func (s settings) hosts() ([]string, error) {
	hosts := strings.Split(s[hostParam], ",")
	for _, host := range hosts {
		if host != "" && !isSocket(host) && !isHost(host) {
			return nil, badURL("has a host that is neither a name nor an address: " + urlForm)
		}
	}
	ports := strings.Split(s[portParam], ",")
	if len(ports) > 1 && len(ports) != len(hosts) {
		return nil, badURL("has more or fewer ports than hosts: write each after its host, as in host1:5432,host2:5432")
	}
	for _, port := range ports {
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			return nil, badURL("has an invalid port: must be a number from 1 to 65535")
		}
	}
	return hosts, nil
}

// isSocket reports whether host is a socket directory or an abstract socket.
func isSocket(host string) bool {
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@")
}

func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		isName := r == '.' || r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
		return !isName
	})
}

// shown shortens and cleans a parameter name for use in a message.
func shown(name string) string {
	if plain := !strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e || r <= ' ' }); !plain {
		name = strconv.Quote(name)
	}
	if len(name) > 40 {
		name = strings.ToValidUTF8(name[:40], "") + "…"
	}
	return name
}
