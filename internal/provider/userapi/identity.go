package userapi

import "context"

// Identifier is a Source that can name the account it reads: a tenant, an instance, a server with its users.
type Identifier interface {
	// AccountMark returns the same text whatever credentials reach an account, and another one for another account, whose
	// users are other people. It is no secret. Empty: the provider does not say. Errors are those of Source.
	AccountMark(ctx context.Context) (string, error)
}

// AccountMarkOf returns the mark of the account that a source reads; empty if it cannot be named.
func AccountMarkOf(ctx context.Context, s Source) (string, error) {
	if identifier, names := s.(Identifier); names {
		return identifier.AccountMark(ctx)
	}
	return "", nil
}
