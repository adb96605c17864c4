package payload

// Field is a mirrored value of a user object.
type Field int

// The fields. FullName is for providers with a single name.
const (
	ID Field = iota
	Email
	FirstName
	LastName
	FullName
	Username
	ImageURL
	CreatedAt
	UpdatedAt
	LastSignInAt
	DeletedAt
	fieldCount
)

// Keys are a provider's keys of the fields, empty for fields that it lacks.
type Keys [fieldCount]string

// User holds the values of a user object, nil for absent keys.
type User [fieldCount]Value

// ReadUser reads the fields of a user object.
func ReadUser(object Value, keys *Keys) User {
	var u User
	for key, value := range object.Members() {
		for field := range keys {
			if string(key) == keys[field] {
				u[field] = value
				break
			}
		}
	}
	return u
}

// ClearGone marks as cleared each field that the user had before and lacks now.
func (u *User) ClearGone(previous *User) {
	for field := Email; field < fieldCount; field++ {
		if u[field].IsAbsent() && !previous[field].IsAbsent() {
			u[field] = Null()
		}
	}
}

// ClearAbsent marks as cleared each of the provider's fields that is missing, for providers that
// send whole profiles (option absent_fields).
func (u *User) ClearAbsent(keys *Keys) {
	for field := Email; field < fieldCount; field++ {
		if u[field].IsAbsent() && keys[field] != "" {
			u[field] = Null()
		}
	}
}
