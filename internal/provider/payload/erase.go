package payload

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// erasedType is the type of an event that stands where an erased one was; Erased is such an event. It is ignored wherever it
// is decoded, so that messages can still be replayed.
const (
	erasedType = "authsync.erased"
	Erased     = `{"type":"` + erasedType + `"}`
)

// IsErased reports whether a value stands where an erased event was.
func IsErased(v Value) bool { return string(v) == Erased }

// Erase replaces those events of a message that isHis chooses by Erased; place is the event's ordinal. The other events of the
// message stay byte by byte. A message is taken for one event unless it is an array, a batch of a log stream or JSON lines; a
// message of which nothing can be told apart is erased as a whole.
func Erase(body []byte, isHis func(place int, event []byte) bool) (rest []byte, erased int) {
	var out []byte
	done := 0
	for place, of := range eventsOf(body) {
		event := body[of.from:of.to]
		if IsErased(event) || !isHis(place, event) {
			continue
		}
		out = append(append(out, body[done:of.from]...), Erased...)
		done = of.to
		erased++
	}
	if erased == 0 {
		return body, 0
	}
	return append(out, body[done:]...), erased
}

// span is a part of a document.
type span struct{ from, to int }

// eventsOf are the events of a message.
func eventsOf(body []byte) []span {
	from := len(body) - len(WithoutBOM(body))
	from = skipSpace(body, from)
	whole := []span{{from, len(bytes.TrimRight(body, " \t\r\n"))}}
	if whole[0].to <= from {
		return []span{{0, len(body)}}
	}
	doc := body[from:whole[0].to]
	var events []span
	switch {
	case !json.Valid(doc):
		events = jsonLines(body)
	case doc[0] == '[':
		events = elements(body, from)
	case doc[0] == '{':
		if list := logsOf(body, from); list > 0 {
			events = elements(body, list)
		}
	}
	if len(events) == 0 {
		return whole
	}
	return events
}

// elements are those of the array that begins at i.
func elements(b []byte, i int) (all []span) {
	i = skipSpace(b, i+1)
	for b[i] != ']' {
		end := valueEnd(b, i)
		all = append(all, span{i, end})
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return all
}

// logsOf is where the batch of a log stream begins in the object that begins at i; 0 if it is none.
func logsOf(b []byte, i int) (list int) {
	i = skipSpace(b, i+1)
	for b[i] != '}' {
		end := stringEnd(b, i)
		value := skipSpace(b, skipSpace(b, end)+1)
		switch key := string(keyText(b[i:end])); {
		case key == "type" || key == "event":
			return 0
		case key == "logs" && b[value] == '[':
			list = value
		}
		if i = skipSpace(b, valueEnd(b, value)); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return list
}

// jsonLines are the lines that are not blank, if each event has a line of its own.
func jsonLines(body []byte) (all []span) {
	isLines := false
	for at := 0; at < len(body); {
		end := at + 1 + bytes.IndexByte(body[at:], '\n')
		if end == at {
			end = len(body)
		}
		line := bytes.TrimRight(body[at:end], " \t\r\n")
		if mark := len(line) - len(WithoutBOM(line)); at == 0 {
			at, line = mark, line[mark:]
		}
		if len(bytes.TrimSpace(line)) > 0 {
			isLines = isLines || line[0] == '{' && json.Valid(line)
			all = append(all, span{at, at + len(line)})
		}
		at = end
	}
	if !isLines {
		return nil
	}
	return all
}

// Mentions reports whether an event names a person: by an id, if it is long enough to mean nobody else, or by an address of e-mail.
func Mentions(event []byte, id string, isLong bool, emails []string) bool {
	texts := make([]string, 0, 2)
	if isLong {
		texts = append(texts, id, url.PathEscape(id), url.QueryEscape(id))
	}
	names := func(text string) bool {
		for _, t := range texts {
			if strings.Contains(text, t) {
				return true
			}
		}
		for _, email := range emails {
			if strings.Contains(strings.ToLower(text), strings.ToLower(email)) {
				return true
			}
		}
		return false
	}
	if names(string(event)) {
		return true
	}
	if bytes.IndexByte(event, '\\') < 0 {
		return false
	}
	for i := 0; i < len(event); {
		quote := bytes.IndexByte(event[i:], '"')
		if quote < 0 {
			return false
		}
		i += quote
		end := textEnd(event, i)
		if quoted := event[i:end]; bytes.IndexByte(quoted, '\\') >= 0 {
			var text string
			if json.Unmarshal(quoted, &text) == nil && names(text) {
				return true
			}
		}
		i = end
	}
	return false
}
