package configfile

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/destination/registry"
	"github.com/authsync/authsync/internal/provider"
	providers "github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/retention"
	"github.com/authsync/authsync/internal/strictyaml"
)

// namePattern is the form of the names of projects and destinations, as in docs/openapi.yaml.
const namePattern = `^[a-z0-9][a-z0-9_-]{0,62}$`

var (
	validName  = regexp.MustCompile(namePattern)
	usedSecret = regexp.MustCompile(`\$secrets\.([a-z][a-z0-9_]*)`) // by an expression
)

// check finds what the server would refuse, as far as that can be known without the server and the secrets, so that
// apply does not end halfway for a slip.
func (r *reader) check(f *File) {
	for name, p := range f.Projects {
		path := strictyaml.Join(strictyaml.Join("", "projects"), name)
		r.name(path, "project", name)
		if p.DatabaseURL != nil {
			r.reference(strictyaml.Join(path, "database_url"), *p.DatabaseURL)
		}
		r.keepDays(strictyaml.Join(path, keepDays), p.KeepDays)
		r.cloneOf(f, path, name, p)
		integrations := map[string]Integration{}
		for written, i := range p.Integrations {
			canonical := r.integration(strictyaml.Join(strictyaml.Join(path, "integrations"), written), written, i)
			if _, twice := integrations[canonical]; twice {
				r.Fail(r.KeyAt(strictyaml.Join(strictyaml.Join(path, "integrations"), written)), "integration %s is given twice", canonical)
			}
			integrations[canonical] = i
		}
		p.Integrations = integrations
		f.Projects[name] = p
		for name, d := range p.Destinations {
			r.destination(strictyaml.Join(strictyaml.Join(path, "destinations"), name), name, d)
		}
	}
	slices.SortFunc(r.Problems, func(a, b strictyaml.Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, cmp.Compare(a.Text, b.Text))
	})
}

func (r *reader) name(path, what, name string) {
	if !validName.MatchString(name) {
		r.Fail(r.KeyAt(path), "the name of a %s is 1 to 63 characters of a-z, 0-9, _ and -, and begins with a letter or digit: %.80q is none", what, name)
	}
}

func (r *reader) reference(path string, ref Reference) {
	if (ref.Env == "") == (ref.File == "") {
		r.Fail(r.KeyAt(path), "say where the secret is: either {env: NAME} or {file: PATH}")
	}
}

// integration checks one, and returns its provider's name as the API has it.
func (r *reader) integration(path, written string, i Integration) string {
	kind, err := providers.Lookup(written)
	if err != nil {
		r.Unknown(r.KeyAt(path), "provider", written, slices.Concat(provider.Names(), provider.Presets(), []string{provider.CustomPrefix + "NAME"}))
		return written
	}
	known := slices.Sorted(maps.Keys(strictyaml.Fields(reflect.TypeFor[provider.Credentials]())))
	for credential, ref := range i.Credentials {
		at := strictyaml.Join(strictyaml.Join(path, "credentials"), credential)
		if !slices.Contains(known, credential) {
			r.Unknown(r.KeyAt(at), "credential", credential, known)
		}
		r.reference(at, ref)
	}
	if r.options(path, reflect.TypeFor[provider.Options]()) {
		var options provider.Options
		text, err := json.Marshal(i.Options)
		if err == nil {
			err = json.Unmarshal(text, &options)
		}
		if err == nil {
			err = options.Validate()
		}
		if err == nil {
			_, err = kind.NewVerifier(readerOf(kind.Name(), options), options)
		}
		if err != nil {
			r.Fail(r.KeyAt(strictyaml.Join(path, "options")), "%s", strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	return kind.Name()
}

// readerOf are credentials in place of those that pulling events takes, which may be set on the server and missing in the file.
func readerOf(name string, options provider.Options) provider.Credentials {
	unknown := provider.Credentials{Domain: "tenant.auth0.com", ClientID: "unknown", ClientSecret: "unknown"}
	if !options.Pull || provider.CheckOwner(name, unknown, provider.Options{}) != nil {
		return provider.Credentials{}
	}
	return unknown
}

// options checks the keys and the kinds of values of options, and tells whether they are right.
func (r *reader) options(path string, t reflect.Type) bool {
	before := len(r.Problems)
	at := strictyaml.Join(path, "options")
	if n := r.ValueAt(at); n != nil {
		r.Value(n, t, at)
	}
	return len(r.Problems) == before
}

func (r *reader) destination(path, name string, d Destination) {
	r.name(path, "destination", name)
	for secret, ref := range d.Secrets {
		r.reference(strictyaml.Join(strictyaml.Join(path, "secrets"), secret), ref)
	}
	switch {
	case d.PauseReason != "" && !d.Paused:
		r.Fail(r.KeyAt(strictyaml.Join(path, "pause_reason")), "pause_reason is for a destination that is paused: add paused: true")
	case len(d.PauseReason) > client.MaxPauseReason:
		r.Fail(r.KeyAt(strictyaml.Join(path, "pause_reason")), "pause_reason has %d bytes: it takes at most %d", len(d.PauseReason), client.MaxPauseReason)
	case d.Type == "":
		r.Fail(r.KeyAt(path), "type is missing: give one of %s", strings.Join(registry.Names(), ", "))
		return
	}
	typ, err := registry.Lookup(d.Type)
	if err != nil || typ.Name() != d.Type {
		r.Unknown(r.KeyAt(strictyaml.Join(path, "type")), "type", d.Type, registry.Names())
		return
	}
	for secret := range d.Secrets {
		if known := typ.SecretNames(); known != nil && !slices.Contains(known, secret) {
			r.Unknown(r.KeyAt(strictyaml.Join(strictyaml.Join(path, "secrets"), secret)), "secret", secret, known)
		}
	}
	if r.options(path, optionTypes()[d.Type]) {
		if err := build(typ, d); err != nil {
			r.Fail(r.KeyAt(path), "destination %s: %v", name, err)
		}
	}
}

// build makes a destination as the server would, with placeholders for its secrets. It sends nothing.
func build(typ destination.Type, d Destination) error {
	var condition *string
	if strings.TrimSpace(d.Condition) != "" {
		condition = &d.Condition
	}
	if _, err := filter.Compile(d.EventTypes, d.Fields, condition); err != nil {
		return err
	}
	if _, err := destination.ParseHoldback(d.Holdback); err != nil {
		return err
	}
	options, err := json.Marshal(withoutNulls(d.Options))
	if err != nil {
		return err
	}
	names := slices.Concat(typ.SecretNames(), slices.Collect(maps.Keys(d.Secrets)))
	for _, used := range usedSecret.FindAllSubmatch(options, -1) {
		names = append(names, string(used[1])) // one that is set on the server need not be in the file
	}
	secrets := map[string]string{}
	for _, name := range names {
		secrets[name] = "pat-in-place-of-a-secret-that-is-not-known" // in the form of the strictest type
		if made, value, ok := typ.NewSecret(); ok && made == name {
			secrets[name] = value
		}
	}
	made, err := typ.New(destination.Config{Options: options, Secrets: destination.Secrets{Values: secrets}}, destination.Deps{})
	if err != nil {
		return err
	}
	capabilities := made.Capabilities()
	return capabilities.CheckEventTypes(typ.Name(), d.EventTypes)
}

// keepDays checks what needs no server. Whether the ledger is kept long enough depends on the server's defaults.
func (r *reader) keepDays(path string, k *KeepDays) {
	if k == nil {
		return
	}
	days := map[string]*int{"inbox": &k.Inbox, "ledger": &k.Ledger, "changes": &k.Changes, "deliveries": &k.Deliveries}
	for _, name := range slices.Sorted(maps.Keys(days)) {
		at := r.ValueAt(strictyaml.Join(path, name))
		if at == nil {
			continue
		}
		limit := retention.MaxDays
		if name == string(retention.Inbox) {
			limit = retention.MaxInboxDays
		}
		if n := *days[name]; n < retention.MinDays || n > limit {
			r.Fail(at, "%s is %d: must be %d to %d days; leave it out for the server's default", name, n, retention.MinDays, limit)
		}
	}
}
