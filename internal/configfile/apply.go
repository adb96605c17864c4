package configfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pasted"
)

// Applier makes a server what a file says.
type Applier struct {
	Client *client.Client
	// Lookup reads the environment; Dir is where the paths of files begin.
	Lookup func(name string) string
	Dir    string
	// SetSecrets sends the secrets of the file also where one is set on the server.
	SetSecrets bool
	// Prune deletes what the file's projects have on the server and not in the file.
	Prune bool
	// Done is called after each change. It ends Apply if it fails.
	Done func(Done) error
	// Waits is told what Apply waits for; nil: nobody is told. It ends Apply if it fails.
	Waits func(line string) error
}

// Done is a change that was made.
type Done struct {
	Action  string `json:"action"` // create, update or delete
	Object  string `json:"object"`
	Project string `json:"project"`
	Name    string `json:"name"`
	// WebhookReceiver is the URL to give to the provider of an integration that is new.
	WebhookReceiver string `json:"webhook_receiver,omitempty"`
	// Notes are sentences about what the change of an integration means.
	Notes []string `json:"notes,omitempty"`
	// Secret is one that the server made, and shows this once.
	Secret *client.MadeSecret `json:"secret,omitempty"`
}

// Delete is the action of what was pruned.
const Delete = "delete"

// Steps are the changes of a plan that Apply makes, in their order.
func (a *Applier) Steps(p Plan) []Change {
	var steps []Change
	for _, c := range p.Changes {
		sets := a.SetSecrets && slices.ContainsFunc(c.Secrets, func(s Secret) bool { return s.State == Set })
		switch {
		case c.Action == Unchanged && sets:
			c.Action = Update
		case c.Action == Unchanged, c.Action == NotInFile && !a.Prune:
			continue
		case c.Action == NotInFile:
			c.Action = Delete
		}
		steps = append(steps, c)
	}
	return steps
}

// Apply makes the changes. It first finds the secrets that it needs, and changes nothing if one is missing: the error
// names all that are. It stops at the first change that fails, and returns those that are not made, that one first.
func (a *Applier) Apply(ctx context.Context, steps []Change) (left []Change, err error) {
	values, err := a.resolve(steps)
	if err != nil {
		return steps, err
	}
	for i, step := range steps {
		done, err := a.apply(ctx, step, values)
		if err == nil || done.Secret != nil { // which nobody can show again
			err = errors.Join(err, a.Done(done))
		}
		if err != nil {
			return steps[i:], fmt.Errorf("%s: %w", step.Title(), err)
		}
	}
	return nil, nil
}

// Title names the object of a change.
func (c Change) Title() string { return Title(c.Object, c.Project, c.Name) }

// Title names an object.
func Title(object, project, name string) string {
	if object == ProjectObject {
		return "project " + name
	}
	return object + " " + name + " of project " + project
}

// sends reports whether a secret of a change is sent.
func (a *Applier) sends(s Secret) bool { return s.State == Missing || s.State == Set && a.SetSecrets }

// resolve finds the secrets that are sent.
func (a *Applier) resolve(steps []Change) (map[Reference]string, error) {
	values := map[Reference]string{}
	var missing []string
	for _, step := range steps {
		if step.Action == Delete {
			continue
		}
		for _, s := range step.Secrets {
			if !a.sends(s) {
				continue
			}
			if _, found := values[*s.Reference]; found {
				continue
			}
			text, err := a.find(*s.Reference)
			if err != nil {
				missing = append(missing, fmt.Sprintf("%s of %s (%v)", s.Name, step.Title(), err))
			}
			values[*s.Reference] = text
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("nothing was changed, for these secrets are missing: %s", strings.Join(missing, "; "))
	}
	return values, nil
}

func (a *Applier) find(r Reference) (string, error) {
	if r.Env != "" {
		if text := pasted.Trim(a.Lookup(r.Env)); text != "" {
			return text, nil
		}
		return "", fmt.Errorf("the environment variable %s is empty", r.Env)
	}
	path := r.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.Dir, path)
	}
	content, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return "", err
	}
	text := pasted.Trim(string(content))
	if text == "" {
		return "", fmt.Errorf("there is nothing in %s", path)
	}
	return text, nil
}

func (a *Applier) apply(ctx context.Context, c Change, values map[Reference]string) (Done, error) {
	done := Done{Action: c.Action, Object: c.Object, Project: c.Project, Name: c.Name}
	secrets := map[string]any{}
	for _, s := range c.Secrets {
		if !a.sends(s) {
			continue
		}
		var err error
		if secrets[s.Name], err = formOf(c.Object, s.Name, values[*s.Reference]); err != nil {
			return done, err
		}
	}
	path := "/projects/" + url.PathEscape(c.Project)
	switch c.Object {
	case IntegrationObject:
		path += "/integrations/" + url.PathEscape(c.Name)
	case DestinationObject:
		path = client.DestinationPath(c.Project, c.Name)
	}
	if c.Action == Delete {
		return done, a.Client.Do(ctx, http.MethodDelete, path, nil, nil)
	}
	switch c.Object {
	case ProjectObject:
		return done, a.project(ctx, c, path, secrets)
	case IntegrationObject:
		if c.file.ofClone {
			if err := a.awaitCopy(ctx, c.Project); err != nil {
				return done, err
			}
		}
		body := map[string]any{"options": c.file.given["options"]}
		if len(secrets) > 0 {
			body["credentials"] = secrets
		}
		var i client.Integration
		err := a.Client.Do(ctx, http.MethodPut, path, body, &i)
		done.Notes = i.Config.Notes
		if c.Action == Create {
			done.WebhookReceiver = i.Config.WebhookReceiver
		}
		return done, a.withAdvice(err)
	default:
		var err error
		done.Secret, err = a.destination(ctx, c, secrets)
		return done, a.withAdvice(err)
	}
}

// formOf is a secret in the form in which the API takes it.
func formOf(object, name, text string) (any, error) {
	switch {
	case object == IntegrationObject && name == "webhook_signing_secret":
		return pasted.Lines(text), nil
	case object == IntegrationObject && name == "webhook_authorization":
		var form map[string]any
		if json.Unmarshal([]byte(text), &form) != nil { // whose error would quote it
			return nil, errors.New(name + ` takes a JSON object such as {"method": "basic", "username": "…", "password": "…"}`)
		}
		return form, nil
	default:
		return text, nil
	}
}

// withAdvice adds what to do about a refusal to send stored secrets to another host.
func (a *Applier) withAdvice(err error) error {
	if client.Status(err) == http.StatusUnprocessableEntity && !a.SetSecrets && strings.Contains(err.Error(), "again in the same request") {
		return fmt.Errorf("%w: --set-secrets sends them", err)
	}
	return err
}

func (a *Applier) project(ctx context.Context, c Change, path string, body map[string]any) error {
	for _, s := range c.Settings {
		body[s.member] = c.file.given[s.member]
	}
	if c.Action == Create {
		body["name"] = c.Name
		return a.Client.Do(ctx, http.MethodPost, "/projects", body, nil)
	}
	of, changes := body[cloneOf].(map[string]any) // its mode, for the source is the same: see checkClones
	delete(body, cloneOf)
	if len(body) > 0 {
		if err := a.Client.Do(ctx, http.MethodPatch, path, body, nil); err != nil {
			return err
		}
	}
	if !changes {
		return nil
	}
	mode, _ := of["mode"].(string)
	_, err := a.Client.SetClone(ctx, c.Name, client.CloneOrder{Mode: mode})
	return err
}

// destination makes or changes one. A pause is a call of its own: of a new destination that is to be paused, changes of
// the moment between may be sent.
func (a *Applier) destination(ctx context.Context, c Change, secrets map[string]any) (made *client.MadeSecret, err error) {
	body, pauses := map[string]any{}, false
	for _, s := range c.Settings {
		switch s.member {
		case "paused", "pause_reason":
			pauses = true
		case "options":
			body["options"] = c.options()
		default:
			body[s.member] = c.file.given[s.member]
		}
	}
	if len(secrets) > 0 {
		body["secrets"] = secrets
	}
	switch {
	case c.Action == Create:
		body["name"] = c.Name
		d, err := a.Client.AddDestination(ctx, c.Project, body)
		if err != nil {
			return nil, err
		}
		made = d.Secret
	case len(body) > 0:
		if _, err := a.Client.ChangeDestination(ctx, c.Project, c.Name, body); err != nil {
			return nil, err
		}
	}
	if !pauses {
		return made, nil
	}
	action, order := "resume", any(nil)
	if c.file.settings["paused"] == true {
		reason, _ := c.file.settings["pause_reason"].(string)
		action, order = "pause", client.PauseOrder{Reason: reason}
	}
	_, err = a.Client.ActOn(ctx, c.Project, c.Name, action, order)
	return made, err
}

// options are those of the file, and null for those that only the server has: the API changes what it is given.
func (c Change) options() map[string]any {
	all := map[string]any{}
	had, _ := c.server.settings["options"].(map[string]any)
	for name := range had {
		all[name] = nil
	}
	given, _ := c.file.given["options"].(map[string]any)
	maps.Copy(all, given)
	return all
}
