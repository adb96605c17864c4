package dashboard

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/preview"
)

// providersPath is where a name leads to the page of a provider of one's own, within a project.
const providersPath = "/integrations"

// firstDefinition is what the form of a provider without a definition begins with.
//
//go:embed pages/definition.yaml
var firstDefinition string

// IsOwn says that the provider is one that a definition in its options describes.
func (d integrationData) IsOwn() bool { return strings.HasPrefix(d.Provider, provider.CustomPrefix) }

// Definition is what the form of the definition has in it: what was entered, otherwise what is stored, otherwise an example.
func (d integrationData) Definition() string {
	if entered := d.Entered.Get("definition"); entered != "" {
		return entered
	}
	if d.Integration != nil {
		var stored struct {
			Definition json.RawMessage `json:"definition"`
		}
		if json.Unmarshal(d.Integration.Options, &stored) == nil && len(stored.Definition) > 0 {
			return asYAML(inOrder(stored.Definition))
		}
	}
	return firstDefinition
}

// baseURLPlace begins the address of a key set that is at the customer's own address at the provider, which is option base_url.
const baseURLPlace = "{base_url}"

// signature is how the provider signs, as its definition says; empty of a provider without a definition.
func (d integrationData) signature() custom.Signature {
	var definition custom.Definition
	if d.IsOwn() {
		if compiled, err := custom.ReadFile(d.Provider, []byte(d.Definition())); err == nil {
			definition = compiled.Definition
		}
		return definition.Signature
	}
	if text, err := custom.Preset(d.Provider); err == nil {
		if compiled, err := custom.ReadFile(d.Provider, []byte(text)); err == nil {
			definition = compiled.Definition
		}
	}
	return definition.Signature
}

// KeySet is the address of the keys that the provider signs with, which authsync reads; empty: it signs with a secret.
func (d integrationData) KeySet() string {
	address := d.signature().KeySetURL
	if d.Integration == nil {
		return address
	}
	var stored provider.Options
	_ = json.Unmarshal(d.Integration.Options, &stored) // the server has written them
	return strings.Replace(address, baseURLPlace, strings.TrimRight(stored.BaseURL, "/"), 1)
}

// NeedsBaseURL says that the provider is connected by the customer's own address there, which has its keys.
func (d integrationData) NeedsBaseURL() bool {
	return strings.HasPrefix(d.signature().KeySetURL, baseURLPlace)
}

// inOrder puts the settings in the order of the docs: the database keeps none.
func inOrder(stored json.RawMessage) json.RawMessage {
	var definition custom.Definition
	if json.Unmarshal(stored, &definition) != nil {
		return stored // of a newer server
	}
	ordered, err := json.Marshal(definition)
	if err != nil {
		return stored
	}
	return ordered
}

// asYAML writes JSON as people write a definition. What cannot be written so stays JSON, which is YAML as well.
func asYAML(document json.RawMessage) string {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return string(document)
	}
	plain(&root)
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if e.Encode(&root) != nil || e.Close() != nil {
		return string(document)
	}
	return text.String()
}

// plain takes off the braces and the quotation marks that YAML can do without.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}

// definitionEntered is the definition in a form, which is YAML or JSON, as the API takes it.
func definitionEntered(v *visit) (json.RawMessage, error) {
	compiled, err := custom.ReadFile("line", []byte(v.form.Get("definition")))
	if err != nil {
		return nil, problemOf(http.StatusUnprocessableEntity, strings.TrimSpace(err.Error()))
	}
	return json.Marshal(compiled.Definition)
}

// definitionOrder changes the definition, and leaves the other options of an integration that is connected.
func definitionOrder(v *visit, isNew bool) (options map[string]any, err error) {
	options = map[string]any{}
	if !isNew {
		if options, err = storedOptions(v); err != nil {
			return nil, err
		}
	}
	options["definition"], err = definitionEntered(v)
	return options, err
}

// previewDefinition shows what the definition that was entered makes of a request; nothing is stored.
func (d *Dashboard) previewDefinition(v *visit, providerName string) (done, error) {
	data := integrationData{Sent: "definition", Entered: harmless(v.form, providerName)}
	options, err := definitionOrder(v, v.entered("form") == "connect")
	if err == nil {
		var result preview.Result
		order := map[string]any{"options": options, "body": v.form.Get("body")}
		if result, err = ask[preview.Result](v, order, integrationPath(v, "preview")...); err == nil {
			data.Preview = &result
		}
	}
	if refused, ok := refusal(err); ok {
		data.Fault = refused
	} else if err != nil {
		return done{}, err
	}
	shown, err := d.integrationView(v, data)
	return done{shown: &shown}, err
}

// nameProvider leads to the page of a provider of one's own, whose name was entered.
func nameProvider(v *visit) (view, error) {
	name, err := provider.ParseName(provider.CustomPrefix + strings.TrimPrefix(strings.TrimSpace(v.URL.Query().Get("name")), provider.CustomPrefix))
	if err != nil {
		return view{}, problemOf(http.StatusUnprocessableEntity, err.Error())
	}
	return view{redirect: pathOf("projects", v.project.ID, "integrations", name)}, nil
}

// withDefinition adds what was entered into the form of the definition, which has no secret.
func withDefinition(shown, form url.Values) url.Values {
	for _, name := range []string{"definition", "body"} {
		if form.Has(name) {
			shown.Set(name, form.Get(name))
		}
	}
	return shown
}
