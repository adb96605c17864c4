package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/problem"
)

// placeholder is where a command of a message has a project, whoever wrote it: the server knows the project by its id.
var placeholder = regexp.MustCompile(`\bPROJECT\b`)

// errReported ends an unsuccessful command whose output has the reason.
var errReported = errors.New("already reported")

// errDiffers ends a plan that is not empty, for scripts.
var errDiffers = errors.New("the server is not what the file says")

// usageError is a command that was spelled wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func isUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	// Cobra makes this one itself, as plain text, before any code of ours runs.
	return ok || strings.HasPrefix(err.Error(), "unknown command ")
}

// report writes an error and gives the exit status. With --json it is a problem document, as the
// API's errors are; otherwise a line, in which the commands to go on with have the project of this one.
func report(w io.Writer, err error, project string, asJSON bool) (status int) {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return 1
	case errors.Is(err, errDiffers):
		return 2
	case isUsage(err):
		status = 2
	default:
		status = 1
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if e.Encode(problemOf(err)) == nil { //nolint:errchkjson // a problem is made of texts
			return status
		}
	}
	text := describe(err)
	if project != "" && status == 1 {
		text = placeholder.ReplaceAllLiteralString(text, quoted(project))
	}
	fmt.Fprintln(w, "authsync: "+oneLine(text))
	return status
}

// nextStep is the command's own, by the code of a refusal. The server's message for these ends with the
// step of who calls its API.
func nextStep(code string) string {
	switch code {
	case "project_not_found":
		return "authsync projects list shows those there are"
	case "integration_not_found":
		return "authsync integrations list PROJECT shows those there are, authsync integrations set makes one"
	case "event_not_found":
		return "authsync events list PROJECT shows the ids, such as 17.0, and finds a provider's with --event"
	case "user_not_found":
		return "authsync users list PROJECT shows those there are, authsync refresh PROJECT USER reads one from the provider"
	case "record_not_found":
		return "authsync records list PROJECT TYPE shows those there are, authsync refresh PROJECT USER reads a user from the provider"
	case "change_not_found":
		return "authsync explain PROJECT USER|TYPE/ID shows a record's changes"
	case "destination_not_found":
		return "authsync destinations list PROJECT shows those there are"
	case "delivery_not_found":
		return "authsync deliveries list PROJECT shows those there are"
	case "key_not_found":
		return "authsync keys list shows those there are"
	case "path_not_found":
		return "AUTHSYNC_URL is the server's base URL, most often without a path, and the server must be as new as this command"
	default:
		return ""
	}
}

// refusal is the server's message, with the next step for a user of the command.
func refusal(refused *client.RefusedError) string {
	step := nextStep(refused.Code)
	if step == "" {
		return refused.Error()
	}
	what := *refused
	if end := strings.LastIndex(what.Detail, ": "); end >= 0 {
		what.Detail = what.Detail[:end]
	}
	what.Detail += ": " + step
	return what.Error()
}

// problemOf is an error as a problem document: what the server answered, or with a code of ours. Those
// have no status, which is one of HTTP.
func problemOf(err error) problem.Document {
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		return refused.Document
	}
	p := problem.Document{Title: "Command failed", Code: "command_failed", Detail: oneLine(describe(err))}
	if isUsage(err) {
		p.Title, p.Code = "Wrong usage", "wrong_usage"
	}
	return p
}

// asksForJSON tells whether --json is among the arguments; they may be such that nothing else can
// be read of them.
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
