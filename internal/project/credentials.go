package project

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

const webhookSigningSecret = "webhook_signing_secret"

// credentialForms describes the value of each credential. The names are those of
// provider.Credentials; a test compares the two.
func credentialForms() map[string]string {
	return map[string]string{
		webhookSigningSecret: `a string, an array of strings, {"add": "…"} to accept another one beside those stored, ` +
			`or {"keep": 1} to accept the first one only`,
		"webhook_authorization": "an object with method (bearer, basic or custom_header) and token, username and password, or header_key and header_value",
		"secret_key":            "a string",
		"domain":                "a string",
		"client_id":             "a string",
		"client_secret":         "a string",
		"session_token":         "a string",
		"database_url":          "a string",
	}
}

// mergeCredentials merges given credentials into the stored ones. A null or empty list removes one.
// Errors name the credential but never repeat its value.
func mergeCredentials(stored, given map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	forms := credentialForms()
	merged := map[string]json.RawMessage{}
	maps.Copy(merged, stored)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		form, known := forms[name]
		if !known {
			return nil, fault.At("credentials."+name, "unknown credential %.60q: must be one of %s",
				name, strings.Join(slices.Sorted(maps.Keys(forms)), ", "))
		}
		value := bytes.TrimSpace(given[name])
		if name == webhookSigningSecret {
			var ok bool
			if value, ok = rotated(stored[name], value); !ok {
				return nil, invalid("credentials.%s has the wrong form: must be %s", name, form)
			}
		}
		if bytes.Equal(value, []byte("null")) || bytes.Equal(value, []byte("[]")) {
			delete(merged, name)
			continue
		}
		if !strictly(name, value, &provider.Credentials{}) {
			return nil, invalid("credentials.%s has the wrong form: must be %s", name, form)
		}
		clean, err := cleanJSON("credentials."+name, value)
		if err != nil {
			return nil, err
		}
		merged[name] = clean
	}
	return merged, nil
}

// rotated gives the signing secrets that a change leaves of the stored ones, which nobody can read to give them again:
// {"add": "…"} puts one in front of them, {"keep": n} drops all but the first n. Another value is returned as it is.
func rotated(stored, value json.RawMessage) (secrets json.RawMessage, ok bool) {
	if !bytes.HasPrefix(value, []byte("{")) {
		return value, true
	}
	var change struct {
		Add  *provider.Secret `json:"add"`
		Keep *int             `json:"keep"`
	}
	var current provider.Secrets
	if stored != nil && json.Unmarshal(stored, &current) != nil {
		current = nil // the unreadable value is replaced
	}
	strict := json.NewDecoder(bytes.NewReader(value))
	strict.DisallowUnknownFields()
	switch err := strict.Decode(&change); {
	case err != nil, (change.Add == nil) == (change.Keep == nil):
		return nil, false
	case change.Add != nil:
		others := slices.DeleteFunc(current, func(s provider.Secret) bool { return s == *change.Add })
		current = append(provider.Secrets{*change.Add}, others...)
	case *change.Keep < 1:
		return nil, false
	default:
		current = current[:min(*change.Keep, len(current))]
	}
	secrets, err := json.Marshal(current)
	return secrets, err == nil
}

// sealSourceURL moves database_url from option source, where people expect it, to the credentials,
// where it is sealed.
func sealSourceURL(given map[string]json.RawMessage, options json.RawMessage) (map[string]json.RawMessage, json.RawMessage, error) {
	const name = "database_url"
	var all, source map[string]json.RawMessage
	isObject := json.Unmarshal(options, &all) == nil && json.Unmarshal(all["source"], &source) == nil
	if !isObject || source[name] == nil { // errors in other options are reported elsewhere
		return given, options, nil
	}
	if !strictly(name, source[name], &provider.Credentials{}) {
		return nil, nil, invalid("options.source.database_url has the wrong form: must be a string")
	}
	if _, twice := given[name]; twice {
		return nil, nil, fault.At("credentials.database_url", "database_url is set twice: set either credentials.database_url or options.source.database_url")
	}
	credentials := map[string]json.RawMessage{name: source[name]}
	maps.Copy(credentials, given)
	delete(source, name)
	rest, err := json.Marshal(source)
	if err != nil {
		return nil, nil, fmt.Errorf("write options: %w", err)
	}
	all["source"] = rest
	text, err := json.Marshal(all)
	if err != nil {
		return nil, nil, fmt.Errorf("write options: %w", err)
	}
	return credentials, text, nil
}

func decodeCredentials(plain []byte) (map[string]json.RawMessage, error) {
	var credentials map[string]json.RawMessage
	if json.Unmarshal(plain, &credentials) != nil {
		return nil, errors.New("the stored credentials are not a JSON object") // the cause could quote them
	}
	return credentials, nil
}

// strictly decodes a member into its struct and refuses unknown keys at any depth: a typo must not
// become a silently missing setting.
func strictly(name string, value json.RawMessage, into any) bool {
	text, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into) == nil
}

// storedCredentials ignores unknown keys: a newer version may have stored them.
func storedCredentials(credentials map[string]json.RawMessage) (provider.Credentials, error) {
	var typed provider.Credentials
	text, err := json.Marshal(credentials)
	if err == nil {
		err = json.Unmarshal(text, &typed)
	}
	if err != nil {
		return provider.Credentials{}, errors.New("the stored credentials have the wrong form") // the cause could quote them
	}
	return typed, nil
}

// ParseOptions parses options given by a person; null or nothing means none.
func ParseOptions(text json.RawMessage) (provider.Options, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || bytes.Equal(text, []byte("null")) {
		return provider.Options{}, nil
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil {
		return provider.Options{}, invalid("options must be an object")
	}
	if _, replaced := payload.Storable(payload.Value(text)); replaced != "" {
		return provider.Options{}, invalid("options must not hold U+0000, half of a character, or a number that PostgreSQL cannot hold")
	}
	forms := optionForms()
	var options provider.Options
	for _, name := range slices.Sorted(maps.Keys(given)) {
		form, known := forms[name]
		if !known {
			return provider.Options{}, fault.At("options."+name, "unknown option %.60q: must be one of %s",
				name, strings.Join(slices.Sorted(maps.Keys(forms)), ", "))
		}
		if !strictly(name, given[name], &options) {
			return provider.Options{}, invalid("options.%s has the wrong form: must be %s", name, form)
		}
	}
	if err := options.Validate(); err != nil {
		return provider.Options{}, invalid("%v", err)
	}
	return options, nil
}

// storedOptions ignores unknown keys, as storedCredentials does.
func storedOptions(text json.RawMessage) (provider.Options, error) {
	var options provider.Options
	if err := json.Unmarshal(text, &options); err != nil {
		return provider.Options{}, fmt.Errorf("read the stored options: %w", err)
	}
	return options, options.Validate()
}

// optionForms describes the value of each option, as credentialForms does.
func optionForms() map[string]string {
	return map[string]string{
		"absent_fields":     `"keep" or "clear"`,
		"record_types":      "an array of strings",
		"signature_formats": "an array of strings",
		"base_url":          "a string",
		"exclude":           `an array of strings, such as ["last_ip", "user_metadata.ssn"]`,
		"pull":              "true or false",
		"definition":        "an object with signature, types, records and more: docs/custom-providers.md",
		"provision":         "true or false",
		"heal":              "an object with reenable, true or false",
		"reconcile":         "an object with every, such as \"24h\", and max_deleted_percent, both optional",
		"silence":           "an object with after, such as \"6h\" or \"never\"",
		"source":            "an object with database_url, schema, user_table, session_table, columns and session_columns, all optional",
	}
}

// credentialStates reports which credentials are set. It always includes the signing secret,
// without which nothing can be received.
func credentialStates(credentials map[string]json.RawMessage) map[string]CredentialState {
	states := map[string]CredentialState{webhookSigningSecret: {}}
	for name := range credentials {
		states[name] = CredentialState{Set: true}
	}
	if states[webhookSigningSecret].Set {
		var secrets provider.Secrets
		count := 1
		if json.Unmarshal(credentials[webhookSigningSecret], &secrets) == nil {
			count = len(secrets)
		}
		states[webhookSigningSecret] = CredentialState{Set: true, Count: count}
	}
	return states
}
