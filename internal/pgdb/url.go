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

// ErrBadURL is the cause of an error about a connection string that can't be read.
var ErrBadURL = errors.New(
	"not a PostgreSQL connection URL; it looks like postgres://user:password@host:5432/database, " +
		"and characters such as @ / ? # % in the password must be percent-encoded",
)

const urlForm = "write postgres://user:password@host:5432/database" //nolint:gosec // a form to fill in, which holds no secret

// URLError says what is wrong with a connection URL and what to write instead. It goes
// on from the name of the field ("is …", "names …"). Of the URL it holds nothing but the names
// of parameters. It is an ErrBadURL.
type URLError struct{ Problem string }

func (e *URLError) Error() string { return e.Problem }

// Is makes every URLError an ErrBadURL.
func (e *URLError) Is(target error) bool { return target == ErrBadURL }

func badURL(problem string) error { return &URLError{problem} }

// names of parameters that the authority and the path of a URL stand for.
const (
	hostParam     = "host"
	portParam     = "port"
	userParam     = "user"
	passwordParam = "password"
	databaseParam = "dbname"
)

// settings are what a connection string says, by libpq's names of parameters. Several
// hosts and ports are separated by commas.
type settings map[string]string

func (s settings) has(name string) bool { _, has := s[name]; return has }

// read is the one parser of connection strings: what it makes of a text is what is
// checked, shown and connected to. A second parser, with an opinion of its own where a host
// ends, would connect to what the first has not checked.
//
// keywords allows the form "host=db dbname=shop" besides URLs.
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

// tidy takes away what comes along when a URL is copied, and refuses what could be meant.
func tidy(text string) (string, error) {
	text = strings.TrimFunc(text, invisible)
	for _, mark := range []string{`"`, `'`, "`"} {
		if strings.HasPrefix(text, mark) || strings.HasSuffix(text, mark) && strings.Contains(text, "://") {
			return "", badURL("is in quotation marks: leave them out")
		}
	}
	isURL := strings.Contains(text, "://")
	for _, r := range text {
		switch {
		case unicode.IsControl(r) && (r != '\t' || isURL):
			return "", badURL("has a line break or another control character within: write it on one line, and percent-encode what belongs to the password")
		case isURL && invisible(r):
			return "", badURL("has a space or an invisible character within: take it out, or percent-encode it if it belongs to the password")
		}
	}
	return text, nil
}

// invisible reports spaces, and the characters without width that web pages and chats add.
func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
}

// readURL reads what stands behind the scheme:
//
//	user:password@host:port,host:port/database?name=value&name=value
func readURL(rest string) (settings, error) {
	if strings.Contains(rest, "#") {
		return nil, badURL("has a # within: write it as %23")
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	if strings.Contains(tail, "@") {
		// Most likely the password holds a / or ?. To go on would show parts of it as names.
		return nil, badURL("has an @ behind the host: characters such as @ / ? # % in the password must be percent-encoded (@ is %40, / is %2F, ? is %3F)")
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
			return nil, badURL("names a database with a / in its name: take it out, or write it as %2F")
		}
		if err := s.setDecoded(databaseParam, path); err != nil {
			return nil, err
		}
	}
	return s, s.readQuery(query)
}

func (s settings) setDecoded(name, text string) error {
	value, err := url.PathUnescape(text) // a + stays a +, as libpq has it
	if err != nil || strings.ContainsRune(value, 0) {
		return badURL("has a % that begins no character: write it as %25")
	}
	if value != "" || name == passwordParam {
		s[name] = value
	}
	return nil
}

// setHosts reads host:port,[address]:port.
func (s settings) setHosts(text string) error {
	var hosts, ports []string
	for one := range strings.SplitSeq(text, ",") {
		host, port := one, ""
		if inner, after, isV6 := strings.Cut(strings.TrimPrefix(one, "["), "]"); strings.HasPrefix(one, "[") {
			if !isV6 || (after != "" && after[0] != ':') {
				return badURL("names a host whose [ has no ]: " + urlForm)
			}
			host, port = inner, strings.TrimPrefix(after, ":")
		} else if before, after, is := strings.Cut(one, ":"); is {
			host, port = before, after
		}
		host, err := url.PathUnescape(host)
		if err != nil || strings.Contains(host, ",") {
			return badURL("has a % that begins no character: write it as %25")
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
			return badURL("has a % that begins no character: write it as %25")
		}
		value, err := url.PathUnescape(rawValue)
		switch {
		case err != nil || strings.ContainsRune(value, 0):
			return badURL("has a % that begins no character: write it as %25")
		case !hasValue || name == "":
			return badURL("has a parameter without a value: write it as ?name=value&name=value")
		}
		if err := s.add(name, value, given); err != nil {
			return err
		}
	}
	return nil
}

// add notes a parameter that was given by name; given are those that were before.
func (s settings) add(name, value string, given map[string]bool) error {
	if name == "database" {
		name = databaseParam
	}
	if name == "ssl" && value == "true" { // libpq takes it for compatibility with JDBC
		name, value = "sslmode", "require"
	}
	if given[name] || (s.has(name) && s[name] != value) {
		return badURL("gives " + shown(name) + " twice: leave one out")
	}
	given[name] = true
	s[name] = value
	return nil
}

// readKeywords reads libpq's other form: name = value, separated by spaces; a value may stand
// in quotation marks, and a backslash takes the next character as it is.
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
		return "", "", badURL("has a ' that is not closed: " + urlForm)
	}
	return b.String(), "", nil
}

// connString writes the settings as pgx reads them, with nothing in it that could be read otherwise.
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

// hosts gives the hosts that are named, and checks them and their ports.
func (s settings) hosts() ([]string, error) {
	hosts := strings.Split(s[hostParam], ",")
	for _, host := range hosts {
		if host != "" && !isSocket(host) && !isHost(host) {
			return nil, badURL("names a host that is neither a name nor an address: " + urlForm)
		}
	}
	ports := strings.Split(s[portParam], ",")
	if len(ports) > 1 && len(ports) != len(hosts) {
		return nil, badURL("names another number of ports than of hosts: write each behind its host, as in host1:5432,host2:5432")
	}
	for _, port := range ports {
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			return nil, badURL("names a port that does not exist: it is a number from 1 to 65535")
		}
	}
	return hosts, nil
}

// isSocket reports a directory of sockets, also of the abstract kind.
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

// shown makes the name of a parameter fit for a message.
func shown(name string) string {
	if plain := !strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e || r <= ' ' }); !plain {
		name = strconv.Quote(name)
	}
	if len(name) > 40 {
		name = strings.ToValidUTF8(name[:40], "") + "…"
	}
	return name
}
