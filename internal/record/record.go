// Package record defines the record types: what of an identity provider is mirrored, and in which tables and
// columns. It is the one place where a record type is defined. The SQL that applies events is rendered from it
// (the templates *.sql.tmpl under sql/project), and so are the arguments of that SQL.
package record

import (
	"slices"
	"strings"
)

// Type is a record type.
type Type string

// The record types. Types lists them.
const (
	User         Type = "user"
	Organization Type = "organization"
	Membership   Type = "membership"
	Invitation   Type = "invitation"
	Session      Type = "session"
)

// WithArticle returns the type as it stands in a sentence: "an organization".
func (t Type) WithArticle() string {
	if t == Organization || t == Invitation {
		return "an " + string(t)
	}
	return "a " + string(t)
}

// The kinds of change. A session is deleted when it ends.
const (
	Created  = "created"
	Updated  = "updated"
	Deleted  = "deleted"
	Restored = "restored"
)

// Erased is the kind of the change that passes an erasure on: everything about a user was removed, at the person's request.
// It goes to every destination, so that it is none of the kinds that can be chosen.
const Erased = "erased"

// Kinds returns the kinds of change that destinations choose from.
func Kinds() []string { return []string{Created, Updated, Deleted, Restored} }

// Column is a mirrored column: a value that an event can set.
type Column string

// The mirrored columns. Columns lists them.
const (
	Email        Column = "email"
	FirstName    Column = "first_name"
	LastName     Column = "last_name"
	Username     Column = "username"
	ImageURL     Column = "image_url"
	CreatedAt    Column = "created_at"
	UpdatedAt    Column = "updated_at"
	LastSignInAt Column = "last_sign_in_at"
	// DeletedAt is when the record was deleted at the provider; of a session, when it ended.
	DeletedAt Column = "deleted_at"
	Raw       Column = "raw"
	Name      Column = "name"
	Slug      Column = "slug"
	// ID is the provider's own id of a membership, which is not its key.
	ID             Column = "id"
	Role           Column = "role"
	Roles          Column = "roles"
	Permissions    Column = "permissions"
	OrganizationID Column = "organization_id"
	UserID         Column = "user_id"
	Status         Column = "status"
	ExpiresAt      Column = "expires_at"
	LastActiveAt   Column = "last_active_at"
)

// Columns returns all mirrored columns. The position of a column is its bit in a sum of columns, in every table;
// so new ones come at the end.
func Columns() []Column {
	return []Column{
		Email, FirstName, LastName, Username, ImageURL, CreatedAt, UpdatedAt, LastSignInAt, DeletedAt, Raw,
		Name, Slug, ID, Role, Roles, Permissions, OrganizationID, UserID, Status, ExpiresAt, LastActiveAt,
	}
}

// Bit returns the bit of a column in a sum of columns.
func (c Column) Bit() int { return 1 << slices.Index(Columns(), c) }

// SQLType returns the type of a column in PostgreSQL.
func (c Column) SQLType() string {
	switch c {
	case CreatedAt, UpdatedAt, LastSignInAt, DeletedAt, ExpiresAt, LastActiveAt:
		return "timestamptz"
	case Roles, Permissions:
		return "text[]"
	case Raw:
		return "jsonb"
	default:
		return "text"
	}
}

// Definition is what is particular to a record type.
type Definition struct {
	Type  Type
	Table string
	// Key are the columns of the primary key. That of most types is the record's id.
	Key []string
	// Columns are the mirrored columns, in the sequence of the table.
	Columns []Column
	// Deletion is the column that DeletedAt is stored in.
	Deletion string
	// ByParents says that a record counts as deleted while its user or its organization is. Deletion is then
	// that of the record itself, and deleted_at is computed.
	ByParents bool
	// Active says that there is a view of the records that exist.
	Active bool
	// Listed says that a provider lists all records of the type, so that they are read and compared with the mirror.
	Listed bool
	// Placeholders says that a record may exist before its first event, made by ensure_user or ensure_organization.
	Placeholders bool
}

// Shown returns the name under which readers see a column: that of DeletedAt of a session is ended_at.
func (d Definition) Shown(c Column) string {
	if c == DeletedAt && !d.ByParents {
		return d.Deletion
	}
	return string(c)
}

// Row returns the names of the columns that come from the provider as readers see them, in the sequence of the table.
func (d Definition) Row() []string {
	names := slices.Clone(d.Key)
	for _, c := range d.Columns {
		names = append(names, d.Shown(c))
	}
	return names
}

// Has reports whether the table has a column of this name that comes from the provider.
func (d Definition) Has(column string) bool {
	return slices.Contains(d.Key, column) || slices.Contains(d.Columns, Column(column))
}

// Types returns the definitions of all record types. Those that others refer to come first: the events of a
// batch are applied in this sequence.
func Types() []Definition {
	return []Definition{
		{
			Type: Organization, Table: "organizations", Key: []string{"id"}, Deletion: "deleted_at", Active: true, Listed: true, Placeholders: true,
			Columns: []Column{Name, Slug, ImageURL, CreatedAt, UpdatedAt, DeletedAt, Raw},
		},
		{
			Type: User, Table: "users", Key: []string{"id"}, Deletion: "deleted_at", Active: true, Listed: true, Placeholders: true,
			Columns: []Column{Email, FirstName, LastName, Username, ImageURL, CreatedAt, UpdatedAt, LastSignInAt, DeletedAt, Raw},
		},
		{
			Type: Membership, Table: "memberships", Key: []string{"organization_id", "user_id"}, Deletion: "own_deleted_at", Active: true, Listed: true, ByParents: true,
			Columns: []Column{ID, Role, Roles, Permissions, CreatedAt, UpdatedAt, DeletedAt, Raw},
		},
		{
			Type: Invitation, Table: "invitations", Key: []string{"id"}, Deletion: "deleted_at", Listed: true,
			Columns: []Column{OrganizationID, Email, Role, Status, ExpiresAt, CreatedAt, UpdatedAt, DeletedAt, Raw},
		},
		{
			Type: Session, Table: "sessions", Key: []string{"id"}, Deletion: "ended_at",
			Columns: []Column{UserID, Status, CreatedAt, LastActiveAt, ExpiresAt, DeletedAt, Raw},
		},
	}
}

// Listed returns the definitions of the types that providers list, without users.
func Listed() []Definition {
	return slices.DeleteFunc(Types(), func(d Definition) bool { return d.Type == User || !d.Listed })
}

// Names returns the names of all record types, in the sequence in which people read them: users come first.
func Names() []string {
	names := []string{string(User)}
	for _, d := range Types() {
		if d.Type != User {
			names = append(names, string(d.Type))
		}
	}
	return names
}

// Of returns the definition of a type; ok is false for an unknown one.
func Of(t Type) (d Definition, ok bool) {
	for _, d := range Types() {
		if d.Type == t {
			return d, true
		}
	}
	return Definition{}, false
}

// Ref names a record.
type Ref struct {
	Type Type
	// ID is the record's id. That of a membership is made of its key: see MembershipID.
	ID string
}

// MembershipID returns the id of a membership: "organization/user". A slash in the organization's id is written
// %2F and a percent sign %25, so that no two memberships share an id.
func MembershipID(organizationID, userID string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(organizationID) + "/" + userID
}

// SplitMembershipID is the reverse of MembershipID; ok is false for an id that no membership has.
func SplitMembershipID(id string) (organizationID, userID string, ok bool) {
	organizationID, userID, ok = strings.Cut(id, "/")
	return strings.NewReplacer("%2F", "/", "%25", "%").Replace(organizationID), userID, ok && organizationID != "" && userID != ""
}

// Array returns a text[] in PostgreSQL's notation for the value of a column such as Roles.
func Array(elements []string) *string {
	var b strings.Builder
	b.WriteByte('{')
	for i, e := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(e))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	text := b.String()
	return &text
}
