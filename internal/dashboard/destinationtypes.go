package dashboard

import (
	"slices"

	"github.com/authsync/authsync/internal/destination/http"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/record"
)

// destinationType is what the pages know of a type of destinations.
type destinationType struct {
	Name, Title string
	// What is what destinations of the type are for.
	What string
	// RecordTypes are the types of the records that it takes changes of; nil: all.
	RecordTypes []record.Type
	// Options are those that most need, and More all others.
	Options, More []option
	// HasRequests says that it has a request for each event type.
	HasRequests bool
	Secrets     []secretOption
	// NamesSecrets says that secrets have any names, by which expressions use them.
	NamesSecrets bool
	// Rotates says that a secret is made, and can be rotated.
	Rotates bool
	// NoTest is why it takes no test events; empty: it does.
	NoTest string
}

// optionKind is how an option is entered.
type optionKind string

const (
	asText       optionKind = "text"
	asNumber     optionKind = "number"
	asExpression optionKind = "expression" // several lines
	asChoice     optionKind = "choice"
	asCheck      optionKind = "check"
	asStatuses   optionKind = "statuses" // such as 2xx, 404
	asLines      optionKind = "lines"    // an object: a name, a colon and a value on each line
	asTime       optionKind = "time"
)

// option is an option of a type of destinations.
type option struct {
	path                 string // such as limit.per
	label, hint, example string
	kind                 optionKind
	choices              []choice
	// normal is what holds if the option is not given.
	normal string
	// removes says that a line without a value is null.
	removes bool
}

// choice is one of several.
type choice struct{ Value, Label string }

// secretOption is a secret with a fixed name.
type secretOption struct{ name, label, hint string }

// setProperties is the choice whose details are lines at its path and .set.
const setProperties = "set"

const (
	jqHint = "A jq expression over the change: .user (or .organization …), .before, .type, .changed, .changed_at. " +
		"if_changed(.email) is the value if the change modified it."
	headerHint = "One on each line, as in X-Environment: production. A line that begins with a space continues the one before."
)

func limitOptions() []option {
	return []option{
		{path: "limit.requests", label: "At most this many requests …", kind: asNumber, example: "10", hint: "Empty: no limit of ours."},
		{path: "limit.per", label: "… in this time", kind: asText, example: "1s"},
		{path: "limit.daily", label: "At most this many requests a day", kind: asNumber, example: "50000"},
		{path: "limit.zone", label: "Time zone of the day", kind: asText, example: "Europe/Berlin", hint: "Empty: UTC."},
		{path: "limit.account", label: "Shared limit", kind: asText, hint: "Destinations of this project with the same name here share the limit."},
	}
}

// destinationTypes are those of registry.All, in the sequence in which they are offered.
func destinationTypes() []destinationType {
	return []destinationType{webhookType(), httpType(), hubspotType()}
}

func webhookType() destinationType {
	return destinationType{
		Name: webhook.Type{}.Name(), Title: "Webhook", Rotates: true,
		What: "Sends each change as a signed request to a program of yours, which verifies it with a Standard Webhooks or Svix library.",
		Options: []option{
			{path: "url", label: "URL", kind: asText, example: "https://app.example.com/webhooks/authsync", hint: "Where the requests go: https, and a public address."},
			{path: "headers", label: "Headers", kind: asLines, hint: "Additional ones, no secrets. " + headerHint},
		},
		More: append([]option{
			{path: "payload", label: "Body", kind: asExpression, example: "{id: .user.id, email: .user.email}", hint: jqHint + " Empty: the whole event."},
			{path: "svix_headers", label: "Also send the signature as svix-id, svix-timestamp and svix-signature", kind: asCheck, hint: "For verifiers that accept only these names, such as Clerk’s."},
		}, limitOptions()...),
		Secrets: []secretOption{{webhook.SigningSecret, "Signing secret", "Leave it empty to have one made, which is shown once. Otherwise whsec_ and the base64 of 24 to 64 random bytes."}},
	}
}

func httpType() destinationType {
	return destinationType{
		Name: http.Type{}.Name(), Title: "HTTP API", HasRequests: true, NamesSecrets: true,
		What: "Calls another system’s own API, such as billing or a mailing list: for each event type a method, a URL and a body made with jq.",
		Options: []option{
			{path: "headers", label: "Headers of all requests", kind: asLines, example: "Authorization: Bearer {{ $secrets.api_key }}", hint: headerHint + " Expressions stand in {{ }}."},
			{path: "latest", label: "Send only the newest state", kind: asCheck, hint: "Waiting changes of a record become one request."},
		},
		More: append([]option{
			{path: "success", label: "Statuses that count as delivered", kind: asStatuses, example: "2xx, 404", hint: "Empty: 2xx."},
			{path: "retry", label: "Statuses that are retried", kind: asStatuses, example: "5xx, 409", hint: "Empty: 408, 425, 429 and 5xx."},
			{path: "give_up", label: "Statuses that fail at once", kind: asStatuses, hint: "Empty: all others."},
			{path: "idempotency_header", label: "Header with the message’s id", kind: asText, normal: "Idempotency-Key", hint: "The same for every attempt, so that the other side can act once. Empty: none."},
			{path: "keep_empty", label: "Keep null and empty texts in the body", kind: asCheck, hint: "Otherwise they are left out, so that they overwrite nothing."},
		}, limitOptions()...),
	}
}

func hubspotType() destinationType {
	return destinationType{
		Name: hubspot.Name, Title: "HubSpot", RecordTypes: []record.Type{record.User, record.Organization, record.Membership},
		What:   "Keeps the contacts of a HubSpot portal in sync with the users, and if you like its companies with the organizations, within HubSpot’s limits and without second contacts.",
		NoTest: "HubSpot takes no test events, because each would leave a contact. Use the preview, and a HubSpot test account for the rest.",
		Options: []option{
			{path: "id_property", label: "Property with the user’s id", kind: asText, example: "authsync_user_id", hint: "A contact property with unique values. Without one, contacts are found by their e-mail address."},
			{
				path: "properties", label: "Properties", kind: asLines, removes: true, example: "plan: .user.raw.app_metadata.plan",
				hint: "HubSpot’s name of a property, a colon, and a jq expression on each line, besides email, firstname and lastname. A name without an expression leaves out one of these.",
			},
			{path: "on_delete", label: "When a user is deleted", kind: asChoice, normal: "nothing", choices: []choice{{"nothing", "do nothing"}, {"archive", "archive the contact"}, {setProperties, "set properties of the contact"}}},
			{path: "on_delete." + setProperties, label: "Properties of a deleted user’s contact", kind: asLines, example: "user_status: deleted", hint: "Only with “set properties”."},
			{path: "on_restore." + setProperties, label: "Properties of a restored user’s contact", kind: asLines, example: "user_status: active"},
			{path: "tier", label: "Plan of the portal", kind: asChoice, normal: "starter", choices: []choice{{"starter", "Starter or free"}, {"professional", "Professional"}, {"enterprise", "Enterprise"}}, hint: "It decides the rate limits."},
			{path: "time_zone", label: "Time zone of the portal", kind: asText, example: "Europe/Berlin", hint: "The daily limit resets at its midnight. Empty: UTC."},
		},
		More: []option{
			{path: "missing", label: "When a changed user has no contact", kind: asChoice, normal: "create", choices: []choice{{"create", "create it"}, {"skip", "send nothing"}, {"log", "let the delivery fail"}}},
			{path: "id_path", label: "Path of a HubSpot id in the user", kind: asText, example: "raw.app_metadata.hubspot_contact_id"},
			{path: "companies.id_property", label: "Companies: property with the organization’s id", kind: asText, example: "authsync_organization_id", hint: "A company property with unique values. With one, organizations are companies, and memberships associate contacts with them: choose their event types as well."},
			{
				path: "companies.properties", label: "Companies: properties", kind: asLines, removes: true, example: "domain: .organization.raw.public_metadata.domain",
				hint: "As for contacts, besides name.",
			},
			{path: "companies.missing", label: "When a changed organization, or one with a new member, has no company", kind: asChoice, normal: "create", choices: []choice{{"create", "create it"}, {"skip", "send nothing"}, {"log", "let the delivery fail"}}},
			{path: "companies.id_path", label: "Path of a HubSpot id in the organization", kind: asText, example: "raw.public_metadata.hubspot_company_id"},
			{path: "companies.on_delete", label: "When an organization is deleted", kind: asChoice, normal: "nothing", choices: []choice{{"nothing", "do nothing"}, {"archive", "archive the company"}, {setProperties, "set properties of the company"}}},
			{path: "companies.on_delete." + setProperties, label: "Properties of a deleted organization’s company", kind: asLines, example: "org_status: deleted", hint: "Only with “set properties”."},
			{path: "companies.on_restore." + setProperties, label: "Properties of a restored organization’s company", kind: asLines, example: "org_status: active"},
			{path: "portal_id", label: "Number of the portal", kind: asText, hint: "Destinations with the same number share its limits."},
			{path: "requests_per_10s", label: "Requests in 10 seconds", kind: asNumber, hint: "Empty: those of the plan."},
			{path: "requests_per_day", label: "Requests a day", kind: asNumber, hint: "Empty: those of the plan."},
			{path: "base_url", label: "Address of the API", kind: asText, example: "https://api.hubapi.com", hint: "For tests only."},
		},
		Secrets: []secretOption{{hubspot.TokenSecret, "Access token", "Of a private app with the scopes crm.objects.contacts.read and .write, and those of companies if they are kept. It begins with pat-."}},
	}
}

func typeOf(name string) (destinationType, bool) {
	types := destinationTypes()
	if i := slices.IndexFunc(types, func(t destinationType) bool { return t.Name == name }); i >= 0 {
		return types[i], true
	}
	return destinationType{}, false
}

// typeOr is a type by its name, also one that the pages do not know.
func typeOr(name string) destinationType {
	if t, known := typeOf(name); known {
		return t
	}
	return destinationType{Name: name, Title: name}
}

func (t *destinationType) all() []option { return slices.Concat(t.Options, t.More) }
