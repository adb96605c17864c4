package payload

// Field is a value that a user object can hold for the mirror.
type Field int

// The fields. FullName is where providers keep the whole name in one.
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

// Keys are a provider's keys of the fields, empty where it has none.
type Keys [fieldCount]string

// User is the values of a user object, nil where a key is absent.
type User [fieldCount]Value

// ReadUser picks the fields out of a user object.
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

// ClearGone makes explicit what is left unsaid: a field that the user had and
// that is gone now was cleared.
func (u *User) ClearGone(previous *User) {
	for field := Email; field < fieldCount; field++ {
		if u[field].IsAbsent() && !previous[field].IsAbsent() {
			u[field] = Null()
		}
	}
}

// ClearAbsent makes explicit what is left unsaid, where the provider sends
// whole profiles (option absent_fields): every field of the provider that is
// missing was cleared.
func (u *User) ClearAbsent(keys *Keys) {
	for field := Email; field < fieldCount; field++ {
		if u[field].IsAbsent() && keys[field] != "" {
			u[field] = Null()
		}
	}
}
