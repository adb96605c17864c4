package configfile

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/docs"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/registry"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/strictyaml"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const schemaFile = "../../docs/authsync.schema.json"

// members is an object of JSON.
type members = map[string]any

// The schema for editors is made of the types that read a file, with what docs/openapi.yaml says of options.
func TestSchemaGolden(t *testing.T) {
	t.Parallel()
	described := openAPI(t)
	types := members{}
	var rules []any
	for _, name := range slices.Sorted(maps.Keys(optionTypes())) {
		types[name+"_options"] = schemaOf(optionTypes()[name])
		then := members{"options": members{"$ref": "#/$defs/" + name + "_options"}}
		typ, err := registry.Lookup(name)
		require.NoError(t, err)
		if known := typ.SecretNames(); known != nil {
			then["secrets"] = members{"propertyNames": members{"enum": known}}
		}
		rules = append(rules, members{
			"if": members{"properties": members{"type": members{"const": name}}, "required": []string{"type"}}, "then": members{"properties": then},
		})
	}
	require.ElementsMatch(t, registry.Names(), slices.Collect(maps.Keys(optionTypes())))

	options := describe(schemaOf(reflect.TypeFor[provider.Options]()), described["Options"])
	definition := schemaOf(reflect.TypeFor[custom.Definition]())
	definition["type"] = "object"
	properties(options)["definition"] = definition
	credentials := describe(schemaOf(reflect.TypeFor[provider.Credentials]()), described["Credentials"])
	for name := range properties(credentials) {
		one := in(properties(credentials), name)
		maps.DeleteFunc(one, func(key string, _ any) bool { return key != "description" })
		one["$ref"] = "#/$defs/Reference"
	}
	// Here a credential is one text.
	in(properties(credentials), "webhook_signing_secret")["description"] = "Proves that deliveries are genuine. Several, one per line, are valid at once: the first one signs."
	in(properties(credentials), "webhook_authorization")["description"] = "Auth0's other ways to authenticate, as a JSON object with method (bearer, basic or custom_header) and its members."
	integration := schemaOf(reflect.TypeFor[Integration]())
	properties(integration)["options"], properties(integration)["credentials"] = options, credentials
	providers := members{}
	for _, name := range append(slices.Concat(provider.Names(), provider.Presets()), "better-auth") {
		providers[name] = members{"$ref": "#/$defs/Integration"}
	}
	project := schemaOf(reflect.TypeFor[Project]())
	maps.Copy(in(properties(project), "integrations"), members{
		"properties": providers, "patternProperties": members{"^custom:": members{"$ref": "#/$defs/Integration"}}, "additionalProperties": false,
	})
	of := in(properties(project), cloneOf)
	of["required"] = []string{"project"}
	in(properties(of), "project")["pattern"] = namePattern
	in(properties(of), "mode")["enum"] = []string{client.CloneFollowing, client.CloneStill}
	in(properties(project), "destinations")["propertyNames"] = members{"pattern": namePattern}
	made := schemaOf(reflect.TypeFor[Destination]())
	in(properties(made), "type")["enum"] = registry.Names()
	in(properties(made), "pause_reason")["maxLength"] = client.MaxPauseReason
	in(properties(made), "event_types")["items"] = members{"enum": eventTypes()}
	made["required"], made["allOf"] = []string{"type"}, rules
	reference := schemaOf(reflect.TypeFor[Reference]())
	reference["minProperties"], reference["maxProperties"] = 1, 1
	reference["type"] = "object"

	file := schemaOf(reflect.TypeFor[File]())
	file["type"] = "object"
	in(properties(file), "version")["const"] = Version
	in(properties(file), "projects")["propertyNames"] = members{"pattern": namePattern}
	file["required"] = []string{"version"}
	file["$schema"], file["$id"] = "https://json-schema.org/draft/2020-12/schema", SchemaURL
	file["title"], file["description"] = "Configuration of authsync", "See docs/config-as-code.md."
	maps.Copy(types, members{"Project": project, "Integration": integration, "Destination": made, "Reference": reference})
	file["$defs"] = types

	pgtest.Golden(t, schemaFile, indented(t, file))

	alone := maps.Clone(definition)
	alone["$schema"], alone["$id"] = file["$schema"], strings.Replace(SchemaURL, "authsync.schema", "provider.schema", 1)
	alone["title"], alone["description"] = "A provider of your own", "See docs/custom-providers.md."
	alone["required"] = []string{"signature", "types", "records"}
	pgtest.Golden(t, "../../docs/provider.schema.json", indented(t, alone))
}

func indented(t *testing.T, schema members) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(schema))
	return b.String()
}

func properties(schema members) members { return in(schema, "properties") }

// in is a member that is an object.
func in(object members, name string) members {
	member, _ := object[name].(members)
	return member
}

func eventTypes() []string {
	all := destination.EventTypes()
	for _, name := range record.Names() {
		all = append(all, destination.AllOf(record.Type(name)))
	}
	return all
}

// openAPI are the schemas of docs/openapi.yaml.
func openAPI(t *testing.T) map[string]members {
	t.Helper()
	var document struct {
		Components struct {
			Schemas map[string]members `yaml:"schemas"`
		} `yaml:"components"`
	}
	require.NoError(t, yaml.Unmarshal(docs.OpenAPI, &document))
	require.Equal(t, namePattern, document.Components.Schemas["ProjectName"]["pattern"])
	return document.Components.Schemas
}

// describe takes descriptions and bounds from another schema. What that has beside the properties is not read.
func describe(schema, from members) members {
	for _, name := range []string{"description", "enum", "default", "pattern", "minimum", "maximum", "contains"} {
		if value, given := from[name]; given {
			schema[name] = value
		}
	}
	inner, own := properties(from), properties(schema)
	for name := range own {
		describe(in(own, name), in(inner, name))
	}
	if items, is := from["items"].(members); is {
		if own, is := schema["items"].(members); is {
			describe(own, items)
		}
	}
	return schema
}

// schemaOf is what the reader takes for a Go type.
func schemaOf(t reflect.Type) members {
	nullable := func(name string) any { return []string{name, "null"} }
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()), t.Kind() == reflect.Interface:
		return members{}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	}
	switch t.Kind() {
	case reflect.Struct:
		fields := members{}
		for name, field := range strictyaml.Fields(t) {
			one := refOr(field.Type)
			if doc := field.Tag.Get("doc"); doc != "" {
				one["description"] = doc
			}
			fields[name] = one
		}
		return members{"type": nullable("object"), "properties": fields, "additionalProperties": false}
	case reflect.Map:
		return members{"type": nullable("object"), "additionalProperties": refOr(t.Elem())}
	case reflect.Slice:
		return members{"type": nullable("array"), "items": refOr(t.Elem())}
	case reflect.String:
		return members{"type": nullable("string")}
	case reflect.Bool:
		return members{"type": nullable("boolean")}
	case reflect.Float64:
		return members{"type": nullable("number")}
	default:
		return members{"type": nullable("integer")}
	}
}

// refOr is a reference to the types of a file, which stand in $defs.
func refOr(t reflect.Type) members {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Project](), reflect.TypeFor[Integration](), reflect.TypeFor[Destination](), reflect.TypeFor[Reference]():
		return members{"$ref": "#/$defs/" + t.Name()}
	default:
		return schemaOf(t)
	}
}

// Editor and command agree on what is wrong.
func TestSchemaAndReaderAgree(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(SchemaURL, document))
	schema, err := compiler.Compile(SchemaURL)
	require.NoError(t, err)
	const app = "version: 1\nprojects: {shop: {destinations: {app: {type: webhook, options: {url: https://app.example.com}}}}}\n"
	for text, right := range map[string]bool{
		"version: 1\n": true,
		"version: 1\nprojects:\n  shop:\n    integrations:\n      better-auth:\n": true,
		app: true,
		"version: 1\nprojects: {shop: {database_url: {env: A}, integrations: {clerk: {credentials: {secret_key: {file: a}}, options: {reconcile: {every: 6h}}}}}}\n": true,
		"version: 2\n":                                false,
		"projects: {}\n":                              false,
		"version: 1\nprojets: {}\n":                   false,
		"version: 1\nprojects: {Shop: {}}":            false,
		"version: 1\nprojects: {shop: {owner: me}}\n": false,
		"version: 1\nprojects: {shop: {}, next: {clone_of: {project: shop, mode: still}, integrations: {clerk: {}}}}\n": true,
		"version: 1\nprojects: {shop: {clone_of: {mode: still}}}\n":                                                     false,
		"version: 1\nprojects: {shop: {clone_of: {project: Shop}}}\n":                                                   false,
		"version: 1\nprojects: {shop: {clone_of: {project: a, mode: stil}}}\n":                                          false,
		"version: 1\nprojects: {shop: {database_url: a}}\n":                                                             false,
		"version: 1\nprojects: {shop: {database_url: {}}}\n":                                                            false,
		"version: 1\nprojects: {shop: {database_url: {env: A, file: b}}}\n":                                             false,
		"version: 1\nprojects: {shop: {integrations: {okta: {}}}}\n":                                                    false,
		"version: 1\nprojects: {shop: {integrations: {clerk: {credentials: {key: {env: A}}}}}}\n":                       false,
		"version: 1\nprojects: {shop: {integrations: {clerk: {options: {reconcile: {every: 6}}}}}}\n":                   false,
		"version: 1\nprojects: {shop: {integrations: {clerk: {options: {record_types: [people]}}}}}\n":                  false,
		"version: 1\nprojects: {shop: {integrations: {clerk: {options: {source: {database_url: {env: A}}}}}}}\n":        false,
		"version: 1\nprojects: {shop: {destinations: {App: {type: webhook}}}}\n":                                        false,
		"version: 1\nprojects: {shop: {destinations: {app: {options: {}}}}}\n":                                          false,
		strings.Replace(app, "webhook", "fax", 1):                                                                       false,
		strings.Replace(app, "webhook", "hubspot", 1):                                                                   false,
		strings.Replace(app, "url:", "uri:", 1):                                                                         false,
		strings.Replace(app, "options:", "secrets: {token: {env: A}}, options:", 1):                                     false,
		strings.Replace(app, "options:", "event_types: [user.renamed], options:", 1):                                    false,
		strings.Replace(app, "options:", "paused: 1, options:", 1):                                                      false,
		strings.Replace(app, "options:", "paused: true, pause_reason: "+strings.Repeat("x", 501)+", options:", 1):       false,
	} {
		var value any
		require.NoError(t, yaml.Unmarshal([]byte(text), &value))
		refusal := schema.Validate(value)
		_, err := Read("f", []byte(text))
		require.Equal(t, right, refusal == nil, "%s%v", text, refusal)
		require.Equal(t, right, err == nil, "%s%v", text, err)
	}
}
