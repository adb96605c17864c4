package custom

import (
	"slices"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// Definition describes a provider: how it signs its requests, and where its events have what the mirror stores. The texts
// in doc are the descriptions of docs/provider.schema.json.
type Definition struct {
	Title     string                       `json:"title,omitempty" doc:"The provider's name in sentences, such as WorkOS."`
	Signature Signature                    `json:"signature" doc:"How a request proves that it comes from the provider."`
	Event     Event                        `json:"event,omitzero" doc:"Where an event has its type, id and time."`
	Types     map[string]string            `json:"types" doc:"What each event type of the provider means, such as user.created, organization.updated or membership.deleted. Types that are not here are ignored."`
	Ignore    map[string]string            `json:"ignore,omitempty" doc:"Why an event type is ignored, for those who look an event up. A type may end in *."`
	Records   map[string]map[string]string `json:"records" doc:"Where the object of each record type has its fields: jq expressions by column."`
	TimeUnit  string                       `json:"time_unit,omitempty" doc:"The unit of times that are numbers, if they are not to be recognized by their size: seconds, milliseconds, microseconds or nanoseconds."`
	Secrets   []string                     `json:"secrets,omitempty" doc:"Names of keys, at any depth, whose values are removed before a request is stored, beside those that look like passwords and tokens."`
	Sample    string                       `json:"sample,omitempty" doc:"A jq expression that makes the body of a request of {type, id, user_id, organization_id, at, set}, for authsync send."`
}

// Signature is how requests are verified.
type Signature struct {
	Scheme string `json:"scheme" doc:"standard_webhooks, svix, hmac, timestamped_hmac, header, bearer, basic, jwt_body or jws."`
	// Of hmac, timestamped_hmac, header and jws.
	Header string `json:"header,omitempty" doc:"The header with the signature or the secret."`
	Prefix string `json:"prefix,omitempty" doc:"What stands before it in the header, such as sha256=."`
	// Of hmac and timestamped_hmac; secret_encoding of jwt_body and jws, too.
	Algorithm      string `json:"algorithm,omitempty" doc:"sha256, which is the default, sha512 or sha1."`
	Encoding       string `json:"encoding,omitempty" doc:"How the signature is written: hex, which is the default, base64 or base64url."`
	SecretEncoding string `json:"secret_encoding,omitempty" doc:"How the secret is written: text, which is the default, hex or base64."`
	Signed         string `json:"signed,omitempty" doc:"What is signed: {body}, which is the default, with {time} and {id} around it, such as {time}.{body}."`
	TimeHeader     string `json:"time_header,omitempty" doc:"The header with {time}."`
	IDHeader       string `json:"id_header,omitempty" doc:"The header with {id}, the request's id, which is the same on every attempt."`
	TimeUnit       string `json:"time_unit,omitempty" doc:"The unit of the time: seconds, which is the default, or milliseconds."`
	Tolerance      string `json:"tolerance,omitempty" doc:"How far the time may be from now, from 1s to 1h; 5m is the default. Of jwt_body and jws: how old the token may be by its claim iat, which it must then have; by default it is not looked at."`
	Version        string `json:"version,omitempty" doc:"The key of the signature in a header such as t=1700000000,v1=5257a8…; v1 is the default."`
	// Of jwt_body and jws.
	KeySetURL  string   `json:"key_set_url,omitempty" doc:"The https:// address of the provider's JSON Web Key Set. {base_url} at its beginning stands for option base_url of the integration."`
	Algorithms []string `json:"algorithms,omitempty" doc:"The accepted algorithms, such as RS256. There is no default: a token does not choose for itself. With HS256, HS384 and HS512 the secret is the key, and there is no key set."`
	Issuer     string   `json:"issuer,omitempty" doc:"The value that the claim iss must have. It may begin with {base_url} if key_set_url does."`
	Audience   string   `json:"audience,omitempty" doc:"The value that the claim aud must have."`
	BodyClaim  string   `json:"body_claim,omitempty" doc:"The claim with the SHA-256 of the body. Without it the token is a detached JWS, whose payload is the body."`
	BodyHash   string   `json:"body_hash,omitempty" doc:"How that is written: hex or base64, which is the default."`
}

// Event locates what belongs to an event rather than to its object. All are jq expressions.
type Event struct {
	Each string `json:"each,omitempty" doc:"The events in a request: by default the body, or the elements of a body that is an array."`
	Type string `json:"type,omitempty" doc:"The event's type; .type is the default."`
	ID   string `json:"id,omitempty" doc:"The event's id, which is the same on every attempt; by default that of the signature's headers."`
	Time string `json:"time,omitempty" doc:"When it happened, as ISO 8601 or as a number of seconds, milliseconds or microseconds since 1970, which is recognized by its size."`
	Test string `json:"test,omitempty" doc:"A condition that is true of the provider's test events, which are ignored."`
}

// objectKey is the key of a record that locates its object, from which the other expressions start.
const objectKey = "object"

// fieldNames are the fields by their names in a definition: those of the columns, and full_name.
func fieldNames() map[string]payload.Field {
	return map[string]payload.Field{
		"id": payload.ID, "organization_id": payload.OrganizationID, "user_id": payload.UserID,
		"email": payload.Email, "first_name": payload.FirstName, "last_name": payload.LastName, "full_name": payload.FullName,
		"username": payload.Username, "image_url": payload.ImageURL, "name": payload.Name, "slug": payload.Slug,
		"role": payload.Role, "roles": payload.Roles, "permissions": payload.Permissions, "status": payload.Status,
		"created_at": payload.CreatedAt, "updated_at": payload.UpdatedAt, "last_sign_in_at": payload.LastSignInAt,
		"last_active_at": payload.LastActiveAt, "expires_at": payload.ExpiresAt, "deleted_at": payload.DeletedAt,
	}
}

// fieldsOf are the fields that a record type takes, in the sequence in which their problems are noted; those without which
// its record is not known come first, and required is how many they are. They are the columns, except for raw; of a user,
// full_name as well; and updated_at also where it is no column, as the version.
func fieldsOf(t record.Type) (fields []string, required int) {
	d, _ := record.Of(t)
	fields = slices.Clone(d.Key)
	for _, c := range d.Columns {
		switch {
		case c == record.Raw:
			continue
		case c == record.DeletedAt && !d.Has(string(record.UpdatedAt)):
			fields = append(fields, string(record.UpdatedAt))
		}
		fields = append(fields, string(c))
		if c == record.LastName {
			fields = append(fields, "full_name")
		}
	}
	return fields, len(d.Key)
}

// isTime reports whether a field is a time.
func isTime(name string) bool { return record.Column(name).SQLType() == "timestamptz" }

// meaning is what an event type means: a kind of change of a record type.
type meaning struct {
	record  record.Type
	deletes bool
}

// meanings are the values of types.
func meanings() map[string]meaning {
	all := map[string]meaning{}
	for _, d := range record.Types() {
		for _, kind := range []string{record.Created, record.Updated, record.Deleted} {
			all[string(d.Type)+"."+kind] = meaning{d.Type, kind == record.Deleted}
		}
	}
	return all
}
