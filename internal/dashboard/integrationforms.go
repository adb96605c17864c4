package dashboard

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/provider"
)

// The places of which the names of inputs begin.
const (
	inputCredential = "credential"
	inputOption     = "option"
	inputSource     = "source"
	inputProvision  = "provision"
)

// baseURLField is the field for the customer's own address at a provider.
const baseURLField = inputOption + ".base_url"

func splitInput(name string) (kind, rest string) {
	kind, rest, _ = strings.Cut(name, ".")
	return kind, rest
}

// integrationOrder is what a form stores of an integration.
type integrationOrder struct {
	Credentials map[string]any `json:"credentials,omitempty"`
	Options     map[string]any `json:"options,omitempty"` // all of them, if any
}

// putIntegration stores what one of the forms of an integration has.
func (d *Dashboard) putIntegration(v *visit) (done, error) {
	name, err := provider.ParseName(v.PathValue("provider"))
	if err != nil {
		return done{}, problemOf(http.StatusNotFound, err.Error())
	}
	isOwn := strings.HasPrefix(name, provider.CustomPrefix)
	if isOwn && v.entered("do") == "preview" {
		return d.previewDefinition(v, name)
	}
	order, generated := integrationOrder{}, ""
	var notice string
	switch sent := v.entered("form"); sent {
	case "connect":
		if isOwn {
			order.Options, err = definitionOrder(v, true)
		} else if base := v.entered(baseURLField); base != "" {
			order.Options = map[string]any{"base_url": base}
		}
		notice = provider.Title(name) + " is connected. Go on with the steps below."
	case "secret":
		order.Credentials, generated, err = d.secretOrder(v, name)
		notice = "The signing secret is stored. Every server uses it within a second."
	case "newest":
		order.Credentials, err = newestOrder(v)
		notice = "Only the newest signing secret is accepted now."
	case "read":
		order, err = readOrder(v)
		notice = "Stored."
	case "definition":
		order.Options, err = definitionOrder(v, false)
		notice = "The definition is stored. The next event is mapped by it; events that failed can be replayed."
	case "provision":
		order.Options, err = provisionOrder(v)
		notice = "The webhook is being set up; see below how far it is."
	case "options":
		order.Options, err = optionsOrder(v)
		notice = "The options are stored."
	default:
		err = problemOf(http.StatusBadRequest, "This form is not known. Open the page again.")
	}
	var stored wire.Integration
	if err == nil {
		stored, err = send[wire.Integration](v, http.MethodPut, order, integrationPath(v)...)
	} else if order.Options == nil { // of a form that cannot show what is wrong
		return done{}, err
	}
	data := integrationData{Sent: v.entered("form"), Entered: harmless(v.form, name)}
	if refused, ok := refusal(err); ok {
		if order.Options != nil && data.Sent == "connect" && isOwn {
			data.Sent = "definition"
		}
		data.Fault, data.Offered = refused, v.form.Get(offeredField)
		shown, err := d.integrationView(v, data)
		return done{shown: &shown}, err
	}
	if err != nil {
		return done{}, err
	}
	if generated != "" {
		shown, err := d.integrationView(v, integrationData{Made: generated, Integration: &stored})
		return done{shown: &shown}, err
	}
	return done{page: pathOf(integrationPath(v)...), notice: strings.Join(append([]string{notice}, startNotes(stored)...), " ")}, nil
}

// startNotes say what storing an integration has led to.
func startNotes(stored wire.Integration) (notes []string) {
	for _, note := range stored.Config.Notes {
		notes = append(notes, strings.ToUpper(note[:1])+note[1:]+".")
	}
	switch b := stored.Config.Backfill; {
	case b == nil:
	case b.Started:
		notes = append(notes, "Reading the existing users has begun.")
	case b.Reason != nil:
		notes = append(notes, "Existing users are not read: "+*b.Reason)
	}
	return notes
}

// harmless is what was entered, without secrets, so that the form can show it again.
func harmless(form url.Values, providerName string) url.Values {
	shown := url.Values{}
	for _, w := range setupOf(providerName).Ways {
		for _, i := range w.Inputs {
			if !i.Secret {
				shown.Set(i.Name, form.Get(i.Name))
			}
		}
	}
	if base := form.Get(baseURLField); base != "" {
		shown.Set(baseURLField, base)
	}
	return withDefinition(shown, form)
}

// secretOrder takes a signing secret that was entered, or the one that the form offers.
func (d *Dashboard) secretOrder(v *visit, providerName string) (credentials map[string]any, generated string, err error) {
	secret := v.entered("secret")
	if v.entered("do") == "generate" {
		offered, ok := d.offeredSecret(v, providerName)
		if !ok {
			return nil, "", unreadable(nil)
		}
		secret, generated = offered, offered
	}
	if v.entered("others") == "keep" {
		return map[string]any{signingSecret: map[string]any{"add": secret}}, generated, nil
	}
	return map[string]any{signingSecret: secret}, generated, nil
}

// newestOrder drops all signing secrets but the newest, if that is the one that was seen to be in use.
func newestOrder(v *visit) (credentials map[string]any, err error) {
	stored, err := get[wire.Integration](v, notCompared(), integrationPath(v)...)
	if err != nil {
		return nil, err
	}
	if len(stored.Secrets) > 0 && stored.Secrets[0].Name != v.entered("newest") {
		return nil, problemOf(http.StatusConflict, "Another secret was stored meanwhile, so that the newest is another one. Nothing was changed: look again which is used.")
	}
	return map[string]any{signingSecret: map[string]any{"keep": 1}}, nil
}

// readOrder takes what is needed to read users. What is left empty stays as it is.
func readOrder(v *visit) (order integrationOrder, err error) {
	options, err := storedOptions(v)
	if err != nil {
		return order, err
	}
	order.Credentials = map[string]any{}
	changed := false
	for name := range v.form {
		kind, rest := splitInput(name)
		value := v.entered(name)
		switch {
		case value == "":
		case name == inputProvision:
			options["provision"], changed = true, true
		case kind == inputCredential:
			order.Credentials[rest] = value
		case kind == inputOption:
			options[rest], changed = value, true
		case kind == inputSource:
			source, _ := options["source"].(map[string]any)
			if source == nil {
				source = map[string]any{}
			}
			source[rest] = value
			options["source"], changed = source, true
		}
	}
	if changed {
		order.Options = options
	}
	return order, nil
}

// provisionOrder turns on the option by which authsync sets up the webhook; with it, everything is checked and
// done once more.
func provisionOrder(v *visit) (map[string]any, error) {
	options, err := storedOptions(v)
	if err != nil {
		return nil, err
	}
	options["provision"] = true
	return options, nil
}

// notCompared reads an integration without asking the provider for its webhook.
func notCompared() url.Values { return url.Values{"compare": {"false"}} }

func storedOptions(v *visit) (map[string]any, error) {
	options := map[string]any{}
	stored, err := get[wire.Integration](v, notCompared(), integrationPath(v)...)
	if err != nil {
		return nil, err
	}
	if len(stored.Options) > 0 {
		err = json.Unmarshal(stored.Options, &options)
	}
	return options, err
}

// optionsShown are the options that have a field of their own.
type optionsShown struct {
	Organizations, Sessions bool
	Every                   string // empty: the default
	ClearAbsent             bool
	Pull                    bool
}

// Intervals are those of a scheduled comparison that the form offers.
func (optionsShown) Intervals() []string {
	return []string{"1h", "6h", "12h", "24h", "7d", provider.Never}
}

// Offers says whether the form offers an interval.
func (o optionsShown) Offers(interval string) bool { return slices.Contains(o.Intervals(), interval) }

func optionsOf(stored json.RawMessage) optionsShown {
	var options provider.Options
	_ = json.Unmarshal(stored, &options) // the server has written them
	shown := optionsShown{ClearAbsent: options.AbsentFields == provider.ClearAbsent, Pull: options.Pull}
	_, shown.Organizations = options.Mirrors("organization")
	_, shown.Sessions = options.Mirrors("session")
	if options.Reconcile != nil {
		shown.Every = options.Reconcile.Every
	}
	return shown
}

// optionsOrder changes the options that have a field, and leaves the others.
func optionsOrder(v *visit) (map[string]any, error) {
	options, err := storedOptions(v)
	if err != nil {
		return nil, err
	}
	types := []string{provider.MirrorUsers}
	for _, group := range []string{provider.MirrorOrganizations, provider.MirrorSessions} {
		if v.entered(group) != "" {
			types = append(types, group)
		}
	}
	options["record_types"] = types
	reconcile, _ := options["reconcile"].(map[string]any)
	reconcile = maps.Clone(reconcile)
	if reconcile == nil {
		reconcile = map[string]any{}
	}
	delete(reconcile, "every")
	if every := v.entered("every"); every != "" {
		reconcile["every"] = every
	}
	options["reconcile"] = reconcile
	delete(options, "pull")
	if v.entered("pull") != "" {
		options["pull"] = true
	}
	delete(options, "absent_fields")
	if v.entered("absent_fields") != "" {
		options["absent_fields"] = v.entered("absent_fields")
	}
	return options, nil
}

func deleteIntegration(v *visit) (done, error) {
	query := url.Values{}
	if v.entered("keep_webhook") != "" {
		query.Set("keep_webhook", "true")
	}
	if _, err := v.call(http.MethodDelete, query, nil, integrationPath(v)); err != nil {
		return done{}, err
	}
	return done{page: pathOf("projects", v.project.ID), notice: "The integration is deleted. Its webhook URL takes nothing any more; the mirror stays as it is."}, nil
}

// runKind is the kind of run that the path names.
func runKind(v *visit) (string, error) {
	switch kind := v.PathValue("kind"); kind {
	case provider.KindBackfill, provider.KindReconcile:
		return kind, nil
	default:
		_, err := notAPage(v)
		return "", err
	}
}

// startRun starts a backfill or a reconcile.
func startRun(v *visit) (done, error) {
	kind, err := runKind(v)
	if err != nil {
		return done{}, err
	}
	var order any
	if kind == provider.KindReconcile {
		order = wire.Order{DryRun: v.entered("dry_run") != "", Force: v.entered("force") != ""}
	}
	if _, err := send[wire.Run](v, http.MethodPost, order, integrationPath(v, kind)...); err != nil {
		return done{}, err
	}
	return done{page: pathOf(integrationPath(v)...) + "#sync", notice: "The " + kind + " has begun; see below how far it is."}, nil
}

func cancelRun(v *visit) (done, error) {
	kind, err := runKind(v)
	if err != nil {
		return done{}, err
	}
	run, err := send[wire.Run](v, http.MethodDelete, nil, integrationPath(v, kind)...)
	if err != nil {
		return done{}, err
	}
	return done{page: pathOf(integrationPath(v)...) + "#sync", notice: "The " + run.Kind + " is " + run.State + "."}, nil
}

// integrationPages adds the pages of integrations to a router.
func (d *Dashboard) integrationPages(routes *http.ServeMux) {
	const one = ProjectsPath + "/{project}/integrations/{provider}"
	routes.HandleFunc("GET "+one, d.page(d.showIntegration))
	routes.HandleFunc("POST "+one, d.act(d.putIntegration))
	routes.HandleFunc("POST "+one+"/delete", d.act(deleteIntegration))
	routes.HandleFunc("POST "+one+"/runs/{kind}", d.act(startRun))
	routes.HandleFunc("POST "+one+"/runs/{kind}/cancel", d.act(cancelRun))
}
