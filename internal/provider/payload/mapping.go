package payload

import (
	"bytes"
	"strings"

	"github.com/authsync/authsync/internal/record"
)

// Field is a value that a provider's object may hold.
type Field int

// The fields. ID is the record's own id, and OrganizationID and UserID are those of the organization
// and the user that it belongs to. FullName is for providers with a single name.
const (
	ID Field = iota
	OrganizationID
	UserID
	Email
	FirstName
	LastName
	FullName
	Username
	ImageURL
	Name
	Slug
	Role
	Roles
	Permissions
	Status
	CreatedAt
	UpdatedAt
	LastSignInAt
	LastActiveAt
	ExpiresAt
	DeletedAt
	fieldCount
)

// column returns the column that a field is stored in. FullName has none: it fills two.
func (f Field) column() record.Column {
	return [fieldCount]record.Column{
		ID: record.ID, OrganizationID: record.OrganizationID, UserID: record.UserID,
		Email: record.Email, FirstName: record.FirstName, LastName: record.LastName, Username: record.Username, ImageURL: record.ImageURL,
		Name: record.Name, Slug: record.Slug, Role: record.Role, Roles: record.Roles, Permissions: record.Permissions, Status: record.Status,
		CreatedAt: record.CreatedAt, UpdatedAt: record.UpdatedAt, LastSignInAt: record.LastSignInAt, LastActiveAt: record.LastActiveAt,
		ExpiresAt: record.ExpiresAt, DeletedAt: record.DeletedAt,
	}[f]
}

// Mapping says where a provider's objects of one record type hold the fields.
type Mapping struct {
	Type record.Type
	// Keys are in the sequence in which their problems are noted. Several fields may share a key.
	Keys []Key
	// Secrets are the names of keys that raw must not show, beside those that Redact knows; in lower
	// case and without punctuation. A verifier removes them as well, when the message is stored.
	Secrets []string
}

// Key locates a field: by a key of the object, or by that of an object in it, and after a dot its
// own, such as "branding.logo_url".
type Key struct {
	Field Field
	Path  string
}

// Values are the fields of an object, nil where it lacks the key.
type Values [fieldCount]Value

// read reads the fields of an object.
func (m *Mapping) read(object Value) Values {
	var values Values
	for key, value := range object.Members() {
		for i := range m.Keys {
			path := m.Keys[i].Path
			if len(path) < len(key) || path[:len(key)] != string(key) {
				continue
			}
			switch rest := path[len(key):]; {
			case rest == "" && bytes.IndexByte(key, '.') < 0:
				values[m.Keys[i].Field] = value
			case rest == "" || rest[0] != '.':
			case value.IsObject():
				values[m.Keys[i].Field] = value.Member(rest[1:])
			case value.IsNull():
				values[m.Keys[i].Field] = value
			default:
				values[m.Keys[i].Field] = nil
			}
		}
	}
	return values
}

// path returns where a field is; it is what notes call the field.
func (m *Mapping) path(field Field) string {
	for i := range m.Keys {
		if m.Keys[i].Field == field {
			return m.Keys[i].Path
		}
	}
	return ""
}

// Rename says where a value was found that a provider's package looked up itself.
func (m *Mapping) Rename(field Field, path string) {
	for i := range m.Keys {
		if m.Keys[i].Field == field {
			m.Keys[i].Path = path
		}
	}
}

// clearGone marks as cleared each field that the object had before and lacks now.
func (v *Values) clearGone(previous *Values) {
	for field := Email; field < fieldCount; field++ {
		if v[field].IsAbsent() && !previous[field].IsAbsent() {
			v[field] = Null()
		}
	}
}

// clearAbsent marks as cleared each of the provider's fields that is missing, for providers that
// send whole objects (option absent_fields). Ids are never cleared.
func (m *Mapping) clearAbsent(values *Values) {
	for _, key := range m.Keys {
		if key.Field >= Email && values[key.Field].IsAbsent() {
			values[key.Field] = Null()
		}
	}
}

// IsBlank reports whether a value says that there is no text: null, or white space only.
func (v Value) IsBlank() bool {
	return v.IsNull() || v.IsText() && strings.TrimSpace(v.Plain()) == ""
}
