package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/problem"
)

// Names of fields of the form about a destination. They are the paths by which the API names what is wrong.
const (
	inOptions  = "options."
	inSecrets  = "secrets."
	inRequests = "options.requests"
)

// maxRequests is how many requests the form takes; there are no more event types than that.
const maxRequests = 30

// requestField is the name of a field of the n-th request of the form.
func requestField(n int, name string) string {
	return "requests." + strconv.Itoa(n) + "." + name
}

// eventTypeOfOthers names the request for event types that have none of their own.
const eventTypeOfOthers = "default"

// cleanText is a text of several lines as it was typed: browsers send lines with CR and LF.
func cleanText(entered string) string {
	return strings.TrimSpace(strings.ReplaceAll(entered, "\r\n", "\n"))
}

// wrongEntry is a problem with what was entered that the API would not find.
func wrongEntry(field, format string, args ...any) *problemError {
	detail := fmt.Sprintf(format, args...)
	return &problemError{problem.Document{Status: http.StatusUnprocessableEntity, Detail: detail, Errors: []problem.Field{{Field: field, Detail: detail}}}}
}

// optionsOf makes a destination's options of what was entered. An option that is not given is null, so that a change
// removes it.
func (t *destinationType) optionsOf(form url.Values) (map[string]any, error) {
	options := map[string]any{}
	for _, o := range t.all() {
		name := inOptions + o.path
		first, _, _ := strings.Cut(o.path, ".")
		if _, has := options[first]; !has {
			options[first] = nil
		}
		value, err := o.read(name, cleanText(form.Get(name)))
		if err != nil {
			return nil, err
		}
		if value != nil && !place(options, o.path, value) {
			return nil, wrongEntry(name, "%s: choose “set properties” for them to be set, or leave this empty", o.label)
		}
	}
	if t.HasRequests {
		requests, err := requestsOf(form)
		if err != nil {
			return nil, err
		}
		options["requests"] = requests
	}
	return options, nil
}

// place puts a value at a path; ok is false if there is another value on the way.
func place(object map[string]any, path string, value any) (ok bool) {
	first, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		object[first] = value
		return true
	}
	if object[first] == nil {
		object[first] = map[string]any{}
	}
	inner, ok := object[first].(map[string]any)
	return ok && place(inner, rest, value)
}

// read is the value that a text stands for; nil: the option is not given.
func (o *option) read(name, text string) (any, error) {
	if text == o.normal {
		return nil, nil
	}
	switch o.kind {
	case asNumber:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	case asChoice:
		if text == setProperties {
			return map[string]any{}, nil
		}
	case asCheck:
		return true, nil
	case asStatuses:
		return statusesOf(text), nil
	case asLines:
		return linesOf(name, text, o.removes)
	case asText, asExpression, asTime:
	}
	return text, nil // of what is no number the API says so
}

func statusesOf(text string) (list []any) {
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		if n, err := strconv.Atoi(one); err == nil {
			list = append(list, n)
			continue
		}
		list = append(list, one)
	}
	return list
}

// linesOf reads a name, a colon and a value from each line. A line that begins with a space continues the one before.
func linesOf(field, text string, removes bool) (map[string]any, error) {
	object := map[string]any{}
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.ReplaceAll(text, "\n ", "\x00"), "\n\t", "\x00"), "\n") {
		name, value, found := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.ReplaceAll(strings.TrimSpace(value), "\x00", "\n")
		_, twice := object[name]
		switch {
		case strings.TrimSpace(line) == "":
			continue
		case !found || name == "":
			return nil, wrongEntry(field, "a line has a name, a colon and a value: %.60q does not", line)
		case twice:
			return nil, wrongEntry(field, "%.60q is there twice", name)
		case removes && value == "":
			object[name] = nil
		default:
			object[name] = value
		}
	}
	return object, nil
}

// requestsOf are the requests of the form by event type; nil: there are none.
func requestsOf(form url.Values) (any, error) {
	requests := map[string]any{}
	for n := range maxRequests {
		get := func(name string) string { return cleanText(form.Get(requestField(n, name))) }
		if get("url") == "" && get("headers") == "" && get("body") == "" {
			continue
		}
		eventType := get("event_type")
		if _, twice := requests[eventType]; twice {
			return nil, wrongEntry(requestField(n, "event_type"), "there is another request for %s: one is made for each", eventType)
		}
		request := map[string]any{"url": get("url")}
		for _, name := range []string{"method", "body"} {
			if get(name) != "" {
				request[name] = get(name)
			}
		}
		if text := get("headers"); text != "" {
			headers, err := linesOf(requestField(n, "headers"), text, false)
			if err != nil {
				return nil, err
			}
			request["headers"] = headers
		}
		requests[eventType] = request
	}
	if len(requests) == 0 {
		return nil, nil
	}
	return requests, nil
}

// enter puts the options of a destination into a form.
func (t *destinationType) enter(form url.Values, options json.RawMessage) error {
	decoder := json.NewDecoder(bytes.NewReader(options))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return fmt.Errorf("read the options: %w", err)
	}
	for _, o := range t.all() {
		text := o.normal
		if value := find(object, o.path); value != nil {
			text = o.write(value)
		}
		form.Set(inOptions+o.path, text)
	}
	requests, _ := object["requests"].(map[string]any)
	for n, eventType := range slices.Sorted(maps.Keys(requests)) {
		request, _ := requests[eventType].(map[string]any)
		form.Set(requestField(n, "event_type"), eventType)
		for _, name := range []string{"method", "url", "headers", "body"} {
			form.Set(requestField(n, name), textOf(request[name]))
		}
		if method := strings.ToUpper(textOf(request["method"])); method != http.MethodPost {
			form.Set(requestField(n, "method"), method)
		} else {
			form.Del(requestField(n, "method")) // it is the normal one
		}
	}
	return nil
}

// find is the value at a path; nil: there is none.
func find(object map[string]any, path string) any {
	first, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		return object[first]
	}
	inner, _ := object[first].(map[string]any)
	return find(inner, rest)
}

// write is the text for a value.
func (o *option) write(value any) string {
	switch _, is := value.(map[string]any); {
	case is && o.kind == asChoice:
		return setProperties
	case value == false:
		return ""
	default:
		return textOf(value)
	}
}

func textOf(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case map[string]any:
		lines := make([]string, 0, len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			lines = append(lines, strings.TrimSpace(name+": "+strings.ReplaceAll(textOf(value[name]), "\n", "\n ")))
		}
		return strings.Join(lines, "\n")
	case []any:
		words := make([]string, len(value))
		for i, one := range value {
			words[i] = textOf(one)
		}
		return strings.Join(words, ", ")
	default:
		return fmt.Sprint(value)
	}
}

// secretsOf are the secrets that were entered; null removes one.
func (t *destinationType) secretsOf(form url.Values, existing []string) map[string]*string {
	secrets := map[string]*string{}
	add := func(name string) {
		if value := strings.TrimSpace(form.Get(inSecrets + name)); value != "" {
			secrets[name] = &value
		}
	}
	for _, s := range t.Secrets {
		add(s.name)
	}
	if !t.NamesSecrets {
		return secrets
	}
	for _, name := range existing {
		add(name)
		if secrets[name] == nil && form.Get("remove."+name) != "" {
			secrets[name] = nil
		}
	}
	for n := range newSecrets {
		name, value := strings.TrimSpace(form.Get(newSecretField(n, "name"))), strings.TrimSpace(form.Get(newSecretField(n, "value")))
		if name != "" || value != "" {
			secrets[name] = &value
		}
	}
	return secrets
}

// newSecrets is how many secrets the form takes besides existing ones.
const newSecrets = 3

func newSecretField(n int, name string) string {
	return "new_secret." + strconv.Itoa(n) + "." + name
}

// eventTypesOf are the names of the event types that requests can be for, those of all first.
func (t *destinationType) eventTypesOf() (names []string) {
	for _, g := range t.groups() {
		names = append(append(names, destination.AllOf(g.Type)), destination.EventTypesOf(g.Type)...)
	}
	return names
}
